"""Durable jobs by real processes: killed, cancelled, crashed, stopped, and gone on with."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.job import JobDraft, JobStore, RunDraft
from nbplat.service.discovery import service_lock, worker_lock
from nbplat.service.lock import holder_of
from nbplat.service.wake import notify_worker
from nbplat.ui.client import ServiceClient, find_or_start, stop_service
from tests.fixtures.service import TOY, processes_of
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def store(service_config: Config) -> Iterator[JobStore]:
    opened = open_store(service_config, clock=SystemClock())
    yield opened
    opened.close()


def queue(config: Config, store: JobStore, kind: str, name: str = "toy", **params: Any) -> str:
    """Open a run and queue a job of it, as a route would."""
    draft = RunDraft("toy", name, "a" * 64, "planned", frozenset({"planned"}), {}, {}, "ann")
    run, _ = store.open_run(draft)
    job, _ = store.submit(JobDraft(kind, run.id, params), kind_of_run="toy", owner="ann")
    notify_worker(config)
    return job.id


def counted(config: Config) -> Counter[str]:
    path = config.home / "counted.txt"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def once_each(total: int) -> Counter[str]:
    return Counter(f"u{n:03d}" for n in range(total))


def worker_pid(config: Config) -> int:
    return int(wait_until(lambda: (holder_of(worker_lock(config)) or {}).get("pid"), what="a worker"))


def test_a_job_survives_kills_of_its_worker(service_config: Config, store: JobStore, toy_client: ServiceClient) -> None:
    """After kill -9 of the worker in mid-job another goes on under a higher fence; each unit counts once."""
    job_id = queue(service_config, store, "toy.count", n=60)
    for seen in (5, 25):
        wait_until(lambda seen=seen: len(counted(service_config)) >= seen, what=f"{seen} units")  # type: ignore[misc]
        os.kill(worker_pid(service_config), signal.SIGKILL)
    job = toy_client.wait_job(job_id, timeout_s=30)
    assert ("succeeded", {"done": 60}, 3) == (job["state"], job["result"], job["fence"])
    assert once_each(60) == counted(service_config)
    assert toy_client.get("/api/v1/runs/toy/toy@1")["state"] == "staged"


def test_a_job_survives_kills_of_the_service(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """kill -9 of the service at random moments: the next call finds it on the same address, and the job ends."""
    moments = random.Random(7)  # noqa: S311
    address = (toy_client.url, worker_pid(service_config))
    job_id = queue(service_config, store, "toy.count", n=150)
    for _ in range(3):
        goal = min(150, len(counted(service_config)) + moments.randint(1, 12))
        wait_until(lambda goal=goal: len(counted(service_config)) >= goal, what="progress")  # type: ignore[misc]
        os.kill(int((holder_of(service_lock(service_config)) or {})["pid"]), signal.SIGKILL)
        assert toy_client.get(f"/api/v1/jobs/{job_id}")["id"] == job_id
    job = toy_client.wait_job(job_id, timeout_s=30)
    assert ("succeeded", 1) == (job["state"], job["attempts"])
    assert once_each(150) == counted(service_config)
    assert address == (toy_client.url, worker_pid(service_config))


def test_stop_gives_the_job_back_and_the_next_start_ends_it(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """A graceful stop leaves no process and a queued job; the next start goes on with it."""
    job_id = queue(service_config, store, "toy.count", n=40)
    wait_until(lambda: len(counted(service_config)) >= 3, what="3 units")
    assert stop_service(service_config)
    assert [] == processes_of(service_config)
    assert store.job(job_id).state == "queued"
    assert not stop_service(service_config)
    find_or_start(service_config, factory=TOY)
    assert toy_client.wait_job(job_id, timeout_s=30)["state"] == "succeeded"
    assert once_each(40) == counted(service_config)


def spawned(client: ServiceClient, job_id: str) -> list[int]:
    text = client.get(f"/api/v1/jobs/{job_id}/log")["text"]
    return [int(line.split()[-1]) for line in text.splitlines() if " spawned " in line]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("killed", [False, True], ids=["cancelled", "worker killed"])
def test_the_whole_tree_ends(
    service_config: Config, store: JobStore, toy_client: ServiceClient, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Cancel, and the worker's death, end what a step started: deaf to SIGTERM, in another session, all of it."""
    job_id = queue(service_config, store, "toy.spawn")
    wait_until(lambda: len(spawned(toy_client, job_id)) == 2, what="two children of the step")
    pids = spawned(toy_client, job_id)
    if killed:
        for lock in (service_lock, worker_lock):
            os.kill(int((holder_of(lock(service_config)) or {})["pid"]), signal.SIGKILL)
        wait_until(lambda: not any(map(lives, pids)), what="the end of the tree")
        toy_client.post(f"/api/v1/jobs/{job_id}/cancel")
    else:
        assert toy_client.post(f"/api/v1/jobs/{job_id}/cancel")["cancel_requested"]
    job = toy_client.wait_job(job_id, timeout_s=20)
    assert ("cancelled", True) == (job["state"], job["ended"])
    wait_until(lambda: not any(map(lives, pids)), what="the end of the tree")
    assert toy_client.get("/api/v1/runs/toy/toy@1")["state"] == "planned"


def test_a_step_that_dies_of_a_signal_is_tried_three_times(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """Two deaths are forgiven; the third fails the job, with a hint at memory when it was SIGKILL."""
    luckier = queue(service_config, store, "toy.crash", "luckier", times=2)
    doomed = queue(service_config, store, "toy.crash", "doomed", times=9, signal="SIGKILL")
    job = toy_client.wait_job(luckier, timeout_s=30)
    assert ("succeeded", {"tries": 3}) == (job["state"], job["result"])
    job = toy_client.wait_job(doomed, timeout_s=30)
    assert ("failed", "step.killed", 3) == (job["state"], job["error"]["code"], job["attempts"])
    assert "memory" in job["error"]["fix"]
    assert "tried again" in toy_client.get(f"/api/v1/jobs/{doomed}/log")["text"]


def test_a_failed_step_is_final_and_told(service_config: Config, store: JobStore, toy_client: ServiceClient) -> None:
    """Our errors, bugs and a bare exit each end the job at once with a record; a bug's text stays in the log."""
    codes = {"refuse": "toy.data", "bug": "internal.bug", "exit": "step.exit"}
    ids = {name: queue(service_config, store, f"toy.{name}", name) for name in codes}
    jobs = {name: toy_client.wait_job(job_id, timeout_s=30) for name, job_id in ids.items()}
    for name, job in jobs.items():
        assert ("failed", codes[name], 1) == (job["state"], job["error"]["code"], job["attempts"])
        assert toy_client.get(f"/api/v1/runs/toy/{name}@1")["state"] == "failed"
    log = toy_client.get(f"/api/v1/jobs/{ids['bug']}/log")["text"]
    assert jobs["bug"]["error"]["detail_id"] in log
    assert "secret text" in log
    assert "secret text" not in str(jobs["bug"])


def test_a_second_run_does_not_wait_and_logs_follow(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """Two jobs run side by side; a log is read on from where it was left, whole characters only."""
    gate = service_config.home / "gate"
    waiting = queue(service_config, store, "toy.wait", "slow", file=str(gate))
    short = queue(service_config, store, "toy.count", "quick", n=1)
    assert toy_client.wait_job(short, timeout_s=20)["state"] == "succeeded"
    wait_until(lambda: "wartet" in toy_client.get(f"/api/v1/jobs/{waiting}/log")["text"], what="the step's line")
    path = f"/api/v1/jobs/{waiting}/log"
    text, offset = "", 0
    while (piece := toy_client.get(path, offset=offset, limit=4))["text"]:
        text, offset = text + piece["text"], piece["next_offset"]
    assert "waiting — wartet" in text
    assert piece == {"text": "", "next_offset": offset, "size": offset}
    gate.touch()
    assert "succeeded" in toy_client.get(path, offset=offset, wait_s=20)["text"]
