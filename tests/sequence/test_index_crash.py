"""A process may end at any point of a build: the next one goes on, with the same index and nothing counted twice."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.errors import Conflict
from nbplat.job import JobState, StepContext
from nbplat.remote.sequence import scatter as scatter_module
from nbplat.remote.sequence import shard as shard_module
from nbplat.remote.sequence import spill as spill_module
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.terms import Progress
from tests.backfill.test_crash import Deadly
from tests.backfill.test_pause import PausesAfter
from tests.fixtures.lakehouse import Killed, Lake
from tests.fixtures.sequences import CLICKS, clicks, definition, digests, sequence_lake
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

TABLE = "shop.clicks"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A table of events in several files; its index takes three spill files and four buckets."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 1_000)
    lake = sequence_lake(tmp_path / "home")
    rows = clicks(3_000).drop_columns(["amount"])
    table = lake.make(TABLE, rows.slice(0, 0), partitioned=False)
    for start in range(0, rows.num_rows, 500):
        table.append(rows.slice(start, 500))
    yield lake
    lake.close()


TEXT = CLICKS.replace(', where: "amount > 5"', "")


def submit(lake: Lake) -> str:
    run, job = Builds(lake.platform.sequences).queue(definition(TABLE, TEXT), owner="me")
    assert job is not None
    return run.id


def expected(lake: Lake) -> list[str]:
    """What an index in memory holds."""
    roomy = Lake(lake.home)
    try:
        sequences = roomy.platform.sequences
        bound = sequences.bind(definition(TABLE, TEXT))
        assert sequences.find_index(bound) is None
        return digests(sequences.open(bound))
    finally:
        roomy.close()


def finish(lake: Lake, run_id: str, wanted: list[str]) -> None:
    """Go on to the end, and look at everything."""
    lake.work()
    sequences = lake.platform.sequences
    assert "built" == sequences.find(run_id).state
    stored = sequences.find_index(sequences.bind(definition(TABLE, TEXT)))
    assert stored is not None
    assert wanted == digests(stored)
    assert 1 == len(lake.table(stored.state.pin.table).snapshots())
    events = lake.platform.store.events(limit=100_000)
    ends = collections.Counter((e.data["scope"], e.unit_id) for e in events if e.kind == "unit.done")
    assert {1} == set(ends.values())
    assert {"scatter": 3, "shard": 4} == collections.Counter(scope.rpartition("/")[2] for scope, _ in ends)
    assert [] == list((lake.home / "spill").rglob("*.arrow*"))
    named = {file.path.removeprefix("file://") for file in stored.tables.files(stored.state.pin)}
    assert named == {str(path) for path in (lake.home / "warehouse").rglob("nb_bucket=*/*.parquet*")}


KILLS = [
    ("sequence_parts", "tables", "create", 0, False),
    ("sequence_parts", "tables", "create", 0, True),
    *(("module", "scatter", "write_spill", number, after) for number in (0, 2) for after in (False, True)),
    *(("module", "shard", "write_index_file", number, after) for number in (0, 3) for after in (False, True)),
    *(("store", "store", "finish_unit", number, after) for number in (0, 2, 3, 6) for after in (False, True)),
    ("store", "store", "plan_units", 1, False),
    ("sequence_parts", "tables", "publish", 0, False),
    ("sequence_parts", "tables", "publish", 0, True),
    ("sequence_parts", "files", "delete", 0, False),
    ("sequence_parts", "files", "delete", 2, True),
    ("store", "store", "move_run", 0, True),
    ("store", "store", "move_run", 1, False),
    ("store", "store", "move_run", 1, True),
]


@pytest.mark.parametrize("point", KILLS, ids=lambda p: f"{p[2]}-{p[3]}-{'after' if p[4] else 'before'}")
def test_a_build_goes_on_after_a_kill(shop: Lake, point: tuple[str, str, str, int, bool]) -> None:
    """Killed between any two effects, the same job ends by itself with each unit done once and nothing left over."""
    how, part, method, number, after = point
    wanted = expected(shop)
    run_id = submit(shop)
    platform, seen = shop.platform, []

    def deadly(real: Any) -> Any:
        return Deadly(real, platform, (method, number, after), seen)

    with pytest.MonkeyPatch.context() as patch:
        if how == "module":
            module = {"scatter": scatter_module, "shard": shard_module}[part]
            patch.setattr(module, method, getattr(deadly(module), method))
        elif how == "store":
            platform.__dict__["store"] = deadly(platform.store)
        else:
            platform.sequence_parts[part] = deadly
        with pytest.raises(Killed):
            platform.work_here("w")
    shop.reopen()
    if how != "sequence_parts" or (method == "publish" and not after):
        bound = shop.platform.sequences.bind(definition(TABLE, TEXT))
        assert (method == "move_run" and number == 1) == (shop.platform.sequences.find_index(bound) is not None)
    finish(shop, run_id, wanted)


def test_a_paused_build_keeps_what_is_done(shop: Lake) -> None:
    """It stops between two units, and resuming does only those that are missing."""
    wanted = expected(shop)
    run_id = submit(shop)
    shop.platform.__dict__["store"] = PausesAfter(shop.platform.store, 5)
    [job] = shop.platform.work_here("w")
    assert JobState.PAUSED is job.state
    assert "building" == shop.platform.sequences.find(run_id).state
    shop.reopen()
    assert [] == shop.platform.work_here("w")
    shop.platform.store.resume_job(job.id)
    finish(shop, run_id, wanted)


class CancelsAfter(PausesAfter):
    """A ledger in which somebody cancels once so many units are done."""

    def _count(self, units: int) -> None:
        self._left -= units
        if not self._left:
            [job] = self._store.jobs(states={JobState.RUNNING})
            self._store.request_cancel(job.id)


def test_a_cancelled_build_leaves_nothing_and_begins_anew(shop: Lake) -> None:
    """Its spill files and data files are gone, the run is kept again, and another build makes the whole index."""
    wanted = expected(shop)
    run_id = submit(shop)
    platform, real = shop.platform, shop.platform.store
    job = real.claim_job("w", lease_ms=60_000)
    assert job is not None
    platform.__dict__["store"] = CancelsAfter(real, 5)
    with pytest.raises(Conflict, match="2 of 4 buckets done"):
        platform.run_step(StepContext(job, f"{job.id}/{job.fence}", _Report()))
    platform.__dict__["store"] = real
    # What the worker makes of a step that ends after somebody asked to cancel.
    platform.settle(real.finish_job(job.id, job.fence, JobState.CANCELLED))
    assert [] == list((shop.home / "spill").rglob("*.arrow*"))
    assert [] == list((shop.home / "warehouse").rglob("nb_bucket=*/*.parquet*"))
    assert "kept" == platform.sequences.find(run_id).state
    assert run_id == submit(shop)
    shop.work()
    sequences = platform.sequences
    stored = sequences.find_index(sequences.bind(definition(TABLE, TEXT)))
    assert stored is not None
    assert wanted == digests(stored)


class _Report:
    def progress(self, progress: Progress) -> None:
        """Nobody looks."""

    def log(self, text: str) -> None:
        """Nobody reads it."""

    def checkpoint(self) -> None:
        """Nobody asks to pause."""


def test_a_unit_that_fails_for_good_ends_the_build(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its tries the job fails with the unit's error; building again goes on with what is left."""
    wanted = expected(shop)
    run_id = submit(shop)
    real = shard_module.write_index_file
    broken = {"yes": True}

    def write(location: str, *args: Any) -> Any:
        if broken["yes"] and "nb_bucket=2/" in location:
            raise OSError("the disk answers nonsense")
        return real(location, *args)

    monkeypatch.setattr(shard_module, "write_index_file", write)
    error = shop.fail()
    assert error["message"].startswith("1 of 4 buckets failed; the first: ")
    sequences = shop.platform.sequences
    assert "kept" == sequences.find(run_id).state
    assert sequences.find_index(sequences.bind(definition(TABLE, TEXT))) is None
    broken["yes"] = False
    assert run_id == submit(shop)
    finish(shop, run_id, wanted)


def test_a_full_disk_ends_the_build_at_once(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit counts as tried, and what is half written is gone."""
    submit(shop)

    def no_room(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill_module.os, "fsync", no_room)
    assert "disk.full" == shop.fail()["code"]
    assert [] == list((shop.home / "spill").rglob("*.partial"))
    scopes = {e.data["scope"] for e in shop.platform.store.events(limit=100_000) if "scope" in e.data}
    units = [unit for scope in scopes for unit in shop.platform.store.units(scope)]
    assert units
    assert {"pending"} == {unit.state for unit in units}


def test_units_that_another_worker_holds_are_not_done_twice(shop: Lake) -> None:
    """A build that meets units held by somebody else says so instead of publishing half an index."""
    submit(shop)
    job = shop.platform.store.claim_job("w", lease_ms=60_000)
    assert job is not None
    scope = f"{job.params['scope']}/scatter"
    shop.platform.store.plan_units(scope, ["p00000"])
    shop.platform.store.claim_units(scope, "somebody", limit=1, lease_ms=60_000, max_attempts=3)
    shop.platform.store.release_job(job.id, job.fence)
    error = shop.fail()
    assert "unit.leased" == error["code"]
    assert "Conflict" == error["kind"]


def test_a_source_that_moved_between_two_tries_is_planned_anew(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first try has sorted of the older state is neither used nor left behind."""
    run_id = submit(shop)

    def write(*_: Any) -> Any:
        raise OSError("the disk answers nonsense")

    with monkeypatch.context() as patch:
        patch.setattr(shard_module, "write_index_file", write)
        shop.fail()
    shop.table(TABLE).append(clicks(300, seed=5).drop_columns(["amount"]))
    wanted = expected(shop)
    assert run_id == submit(shop)
    shop.work()
    sequences = shop.platform.sequences
    stored = sequences.find_index(sequences.bind(definition(TABLE, TEXT)))
    assert stored is not None
    assert wanted == digests(stored)
    assert 3_300 == stored.report.steps[0].rows_in
    assert [] == list((shop.home / "spill" / "sequence").iterdir())


def test_kill_9_of_the_real_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step's own process is killed while units are under way; what was done stays done, and the index is whole."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 100)
    lake = sequence_lake(tmp_path / "home")
    try:
        rows = clicks(12_000).drop_columns(["amount"])
        lake.make(TABLE, rows, partitioned=False)
        wanted = expected(lake)
        submit(lake)
        store = lake.platform.store
        job = store.claim_job("w", lease_ms=60_000)
        assert job is not None
        shards = f"{job.params['scope']}/shard"
        variables = {"NBPLAT_HOME": str(lake.home), "NBPLAT_LIMITS_MEMORY_BYTES": "1", "NBPLAT_LIMITS_THREADS": "1"}
        step = subprocess.Popen(
            [sys.executable, "-m", "nbplat.service.step", job.id, str(job.fence)],
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: any(unit.state == "done" for unit in store.units(shards)), limit_s=60)
        step.kill()
        step.wait()
        done = [unit.id for unit in store.units(shards) if unit.state == "done"]
        assert 0 < len(done) < 128
        lake.reopen()
        lake.work()
        sequences = lake.platform.sequences
        stored = sequences.find_index(sequences.bind(definition(TABLE, TEXT)))
        assert stored is not None
        assert 128 == stored.buckets
        assert wanted == digests(stored)
        ends = [e.unit_id for e in lake.platform.store.events(limit=100_000) if e.kind == "unit.done"]
        assert len(ends) == len(set(ends))
        assert [] == list((lake.home / "spill" / "sequence").iterdir())
        named = {file.path.removeprefix("file://") for file in stored.tables.files(stored.state.pin)}
        assert named == {str(path) for path in (lake.home / "warehouse").rglob("nb_bucket=*/*.parquet*")}
    finally:
        lake.close()
