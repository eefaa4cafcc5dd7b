"""How a step ends, by real processes of one service: cancelled, crashed, failed, and side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.job import JobStore
from nbplat.ui.client import ServiceClient
from tests.fixtures.toy_jobs import lives, queue, spawned
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def store(shared_config: Config) -> Iterator[JobStore]:
    opened = open_store(shared_config, clock=SystemClock())
    yield opened
    opened.close()


def test_cancel_ends_the_whole_tree(shared_config: Config, store: JobStore, shared_client: ServiceClient) -> None:
    """A cancel ends what a step started: deaf to SIGTERM, in another session, all of it; the run goes back."""
    job_id = queue(shared_config, store, "toy.spawn", "spawn")
    pids = wait_until(lambda: spawned(shared_client, job_id), what="two children of the step")
    assert shared_client.post(f"/api/v1/jobs/{job_id}/cancel")["cancel_requested"]
    job = shared_client.wait_job(job_id, timeout_s=20)
    assert ("cancelled", True) == (job["state"], job["ended"])
    wait_until(lambda: not any(map(lives, pids)), what="the end of the tree")
    assert shared_client.get("/api/v1/runs/toy/spawn@1")["state"] == "planned"


def test_a_step_that_dies_of_a_signal_is_tried_three_times(
    shared_config: Config, store: JobStore, shared_client: ServiceClient
) -> None:
    """Two deaths are forgiven; the third fails the job, with a hint at memory when it was SIGKILL."""
    luckier = queue(shared_config, store, "toy.crash", "luckier", times=2)
    doomed = queue(shared_config, store, "toy.crash", "doomed", times=9, signal="SIGKILL")
    job = shared_client.wait_job(luckier, timeout_s=30)
    assert ("succeeded", {"tries": 3}) == (job["state"], job["result"])
    job = shared_client.wait_job(doomed, timeout_s=30)
    assert ("failed", "step.killed", 3) == (job["state"], job["error"]["code"], job["attempts"])
    assert "memory" in job["error"]["fix"]
    assert "tried again" in shared_client.get(f"/api/v1/jobs/{doomed}/log")["text"]


def test_a_failed_step_is_final_and_told(shared_config: Config, store: JobStore, shared_client: ServiceClient) -> None:
    """Our errors, bugs and a bare exit each end the job at once with a record; a bug's text stays in the log."""
    codes = {"refuse": "toy.data", "bug": "internal.bug", "exit": "step.exit"}
    ids = {name: queue(shared_config, store, f"toy.{name}", name) for name in codes}
    jobs = {name: shared_client.wait_job(job_id, timeout_s=30) for name, job_id in ids.items()}
    for name, job in jobs.items():
        assert ("failed", codes[name], 1) == (job["state"], job["error"]["code"], job["attempts"])
        assert shared_client.get(f"/api/v1/runs/toy/{name}@1")["state"] == "failed"
    log = shared_client.get(f"/api/v1/jobs/{ids['bug']}/log")["text"]
    assert jobs["bug"]["error"]["detail_id"] in log
    assert "secret text" in log
    assert "secret text" not in str(jobs["bug"])


def test_a_second_run_does_not_wait_and_logs_follow(
    shared_config: Config, store: JobStore, shared_client: ServiceClient
) -> None:
    """Two jobs run side by side; a log is read on from where it was left, whole characters only."""
    gate = shared_config.home / "gate"
    waiting = queue(shared_config, store, "toy.wait", "slow", file=str(gate))
    short = queue(shared_config, store, "toy.count", "quick", n=1)
    assert shared_client.wait_job(short, timeout_s=20)["state"] == "succeeded"
    wait_until(lambda: "wartet" in shared_client.get(f"/api/v1/jobs/{waiting}/log")["text"], what="the step's line")
    path = f"/api/v1/jobs/{waiting}/log"
    text, offset = "", 0
    while (piece := shared_client.get(path, offset=offset, limit=4))["text"]:
        text, offset = text + piece["text"], piece["next_offset"]
    assert "waiting — wartet" in text
    assert piece == {"text": "", "next_offset": offset, "size": offset}
    gate.touch()
    assert "succeeded" in shared_client.get(path, offset=offset, wait_s=20)["text"]
