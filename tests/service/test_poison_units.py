"""A file that kills the process each time it is staged ends with an error of its own; all others are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nbplat.config import Config
from nbplat.job import JobState, UnitState
from nbplat.service.wake import notify_worker
from nbplat.ui.client import ServiceClient, find_or_start
from tests.fixtures.lakehouse import Lake
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

SQL = "select id, x * 2D as f from base"
FACTORY = "deadly_platform:open_platform"


@pytest.fixture
def deadly(service_config: Config) -> Iterator[tuple[Lake, ServiceClient]]:
    """A lake whose worker's steps die of some files; each file is a piece of its own."""
    lake = Lake(service_config.home)
    lake.make_shop()
    (lake.home / "poison.txt").write_text("")
    yield lake, find_or_start(replace(service_config, memory_bytes=1), factory=FACTORY)
    lake.close()


def staged(lake: Lake, client: ServiceClient, config: Config, poison: str) -> dict[str, Any]:
    """Stage with these poison files; the ended job."""
    (lake.home / "poison.txt").write_text(poison)
    job = lake.submit("f", SQL).job
    assert job is not None
    notify_worker(config)
    return client.wait_job(job.id, timeout_s=60)


@pytest.mark.parametrize("how", ["SIGKILL", "3"])
def test_a_file_that_kills_its_process_names_itself(
    deadly: tuple[Lake, ServiceClient], service_config: Config, how: str
) -> None:
    """It fails after its tries with the reason and its path, the others are done, and a retry does it alone."""
    lake, client = deadly
    job = staged(lake, client, service_config, f"00002 {how}")
    units = {unit.id: unit for unit in lake.platform.store.units("f@1/stage")}
    assert [UnitState.DONE] * 2 + [UnitState.FAILED] + [UnitState.DONE] * 3 == [unit.state for unit in units.values()]
    assert (3, "stage.died") == (units["00002"].attempts, (units["00002"].error or {})["code"])
    assert ("failed", "stage.died", 4) == (job["state"], job["error"]["code"], job["attempts"])
    assert "1 of 6 files failed" in job["error"]["message"]
    [bad] = lake.backfills.failed_units(lake.backfills.find("f@1"))
    assert (bad["path"], "planned") == (job["error"]["where"], lake.state("f@1"))
    log = client.get(f"/api/v1/jobs/{job['id']}/log")["text"]
    assert "unit 00002 (" in log
    assert "2 of 3 tries; it runs alone, last" in log

    (lake.home / "poison.txt").write_text("")
    again = lake.backfills.retry("f@1", owner="me").job
    assert again is not None
    notify_worker(service_config)
    assert "succeeded" == client.wait_job(again.id, timeout_s=60)["state"]
    done = [e.unit_id for e in lake.platform.store.events(limit=10_000) if e.kind == "unit.done"]
    assert sorted(units) == sorted(done)


def test_several_of_them_are_all_named(deadly: tuple[Lake, ServiceClient], service_config: Config) -> None:
    """Files that die at once, of a signal or an exit code, take no innocent one with them."""
    lake, client = deadly
    job = staged(lake, client, service_config, "00000 SIGSEGV\n00001 5\n00004 SIGKILL\n")
    failed = [unit for unit in lake.platform.store.units("f@1/stage") if unit.state is UnitState.FAILED]
    assert ["00000", "00001", "00004"] == [unit.id for unit in failed]
    assert ["died of SIGSEGV", "ended with code 5", "died of SIGKILL"] == [
        str((unit.error or {})["message"]).split("file ")[1].split(",")[0] for unit in failed
    ]
    assert ("stage.died", True) == (job["error"]["code"], "3 of 6 files failed" in job["error"]["message"])


def test_a_stop_of_the_worker_blames_no_file(deadly: tuple[Lake, ServiceClient], service_config: Config) -> None:
    """What was under way when the service is stopped has no try counted."""
    from nbplat.ui.client import stop_service

    lake, client = deadly
    (lake.home / "poison.txt").write_text("00000 wait\n")
    job = lake.submit("f", SQL).job
    assert job is not None
    notify_worker(service_config)
    store = lake.platform.store
    wait_until(lambda: any(u.state is UnitState.LEASED for u in store.units("f@1/stage")), what="a unit under way")
    wait_until(lambda: (lake.home / "waiting").exists(), what="the piece that waits")
    assert stop_service(service_config)
    assert JobState.QUEUED is store.job(job.id).state
    assert [] == [event for event in store.events(limit=10_000) if event.kind == "unit.died"]
    (lake.home / "poison.txt").write_text("")
    lake.work()
    assert {1} == {unit.attempts for unit in store.units("f@1/stage")}
    assert client is not None
