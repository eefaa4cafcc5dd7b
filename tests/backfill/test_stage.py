"""Staging as a step: claimed lazily, poison units, long pieces, cancel, what it tells, what it leaves."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbplat.backfill.groups import cut_groups
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import staged_files
from nbplat.backfill.work import run_step
from nbplat.job import Job, JobState, StepContext, UnitState
from nbplat.remote import staged
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task
from tests.fixtures.deletes import add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows

SQL = "select id, x * 2D as f from base"


class Told:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[int] = []

    def progress(self, progress: Any) -> None:
        self.done.append(progress.done)

    def log(self, text: str) -> None:
        self.lines.append(text)

    def checkpoint(self) -> None:
        pass


@pytest.fixture
def alone(lake: Lake) -> Any:
    """The lake with so little memory that each file is a piece of its own."""
    lake.close()
    alone = Lake(lake.home, **{"limits.memory_bytes": 1})
    yield alone
    alone.close()


def step(lake: Lake, told: Told) -> Job:
    """Do the queued staging in this process, and end its job as a worker does."""
    store = lake.platform.store
    job = store.claim_job("w", lease_ms=60_000)
    assert job is not None
    result = lake.platform.run_step(StepContext(job, f"{job.id}/{job.fence}", told))
    return store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result=result)


def units(lake: Lake, state: UnitState) -> list[str]:
    return [unit.id for unit in lake.platform.store.units("f@1/stage") if unit.state is state]


def test_every_unit_and_partition_has_its_line(lake: Lake) -> None:
    """Rows, bytes and time per file, a line when a partition is whole, and progress that never falls."""
    lake.submit("f", SQL)
    told = Told()
    step(lake, told)
    lines = [line for line in told.lines if line.startswith("unit ")]
    assert 6 == len(lines)
    assert all(" rows, " in line and " bytes written of " in line and line.endswith(" ms") for line in lines)
    assert 6 == sum(line.startswith("partition ") and line.endswith(" is complete") for line in told.lines)
    assert (sorted(told.done), 6) == (told.done, told.done[-1])


@pytest.mark.parametrize("memory", [{}, {"limits.memory_bytes": 1}], ids=["in one piece", "file by file"])
def test_a_poison_unit_ends_with_its_own_error(lake: Lake, memory: dict[str, Any]) -> None:
    """One bad row: its file fails after its tries, with its reason and place; all others are done, each once."""
    lake.close()
    own = Lake(lake.home, **memory)
    run = own.submit("f", SQL).run
    assert run is not None

    def poisoned(task: Task) -> list[dict[str, Any]]:
        query = "select id, case when id = 7 then error('no number') else x end as f from base"
        return stage({**task, "body": {"lang": "sql", "query": query}})

    own.stage_by(poisoned)
    error = own.fail()
    [bad] = [unit for unit in own.platform.store.units("f@1/stage") if unit.state is UnitState.FAILED]
    assert (3, "body.values") == (bad.attempts, (bad.error or {})["code"])
    assert ("body.values", True) == (error["code"], "1 of 6 files failed" in error["message"])
    assert (bad.error or {})["where"] == error["where"]
    assert [1] * 5 == [u.attempts for u in own.platform.store.units("f@1/stage") if u.state is UnitState.DONE]
    own.close()


def test_a_long_piece_keeps_its_units(alone: Lake) -> None:
    """However long a piece takes, its lease is renewed: no other slot takes it, and each file is done once."""
    alone.submit("f", SQL)
    short = {"lease_ms": 60}
    seen: list[str] = []

    def long(task: Task) -> list[dict[str, Any]]:
        seen.append(task["files"][0]["unit"])
        if len(seen) == 1:
            before = next(u for u in alone.platform.store.units("f@1/stage") if u.id == seen[0]).fence
            renewed = threading.Event()
            # Well beyond the lease: what lapses would be claimed again by the loop below.
            renewed.wait(short["lease_ms"] * 5 / 1000)
            [held] = alone.platform.store.claim_units("f@1/stage", "thief", limit=1, lease_ms=1000, max_attempts=9) or [
                None
            ]
            assert held is None or held.id != seen[0]
            if held is not None:
                alone.platform.store.release_units("f@1/stage", "thief")
            assert before == next(u for u in alone.platform.store.units("f@1/stage") if u.id == seen[0]).fence
        return stage(task)

    from dataclasses import replace

    from nbplat.adapters.local.farm import LocalFarm
    from nbplat.backfill.pieces import Pieces

    backfills = replace(alone.backfills, runners={"local": Pieces(LocalFarm(1), long)}, lease_ms=short["lease_ms"])
    store = alone.platform.store
    job = store.claim_job("w", lease_ms=60_000)
    assert job is not None
    run_step(backfills, StepContext(job, f"{job.id}/{job.fence}", Told()))
    assert [f"{n:05d}" for n in range(6)] == sorted(seen)


def test_a_cancelled_job_stops_between_pieces(alone: Lake) -> None:
    """What is under way ends and counts; what is not begun is given back; the same cell goes on."""
    alone.submit("f", SQL)

    def cancelled(task: Task) -> list[dict[str, Any]]:
        if task["files"][0]["unit"] == "00002":
            alone.backfills.cancel("f@1")
        return stage(task)

    alone.stage_by(cancelled)
    assert "job.stopped" == alone.fail()["code"]
    assert ["00000", "00001", "00002"] == units(alone, UnitState.DONE)
    assert [] == units(alone, UnitState.LEASED)
    alone.platform.parts.clear()
    alone.submit("f", SQL)
    alone.work()
    assert [1] * 6 == [unit.attempts for unit in alone.platform.store.units("f@1/stage")]


def test_a_source_is_read_once_and_leaves_nothing(alone: Lake) -> None:
    """Six pieces share one reading of the source; the run's folder is gone when the step has ended."""
    sql = (
        "select b.id, coalesce(sum(e.amount), 0D) as f from base b left join shop.events e"
        " on e.customer = b.customer group by b.id"
    )
    alone.submit("f", sql)
    read: list[Any] = []
    seen: set[str] = set()

    class Counting:
        def __init__(self, tables: Any) -> None:
            self._tables = tables

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tables, name)

        def reads(self, pin: Any, paths: Any = None) -> Any:
            if pin.table == "shop.events":
                read.append(paths)
            return self._tables.reads(pin, paths)

    def watching(task: Task) -> list[dict[str, Any]]:
        seen.update(task["sources"].values())
        assert (alone.home / "runs" / "f-1" / "sources" / "shop__events.arrow").is_file()
        return stage(task)

    alone.platform.parts["tables"] = Counting
    alone.stage_by(watching)
    told = Told()
    step(alone, told)
    assert ([None], 1) == (read, len(seen))
    assert [] == list((alone.home / "runs").rglob("*.arrow"))


def test_a_lost_source_folder_of_a_dead_try_is_made_anew(lake: Lake) -> None:
    """What a killed try left in the run's folder is replaced."""
    left = lake.home / "runs" / "f-1" / "sources"
    left.mkdir(parents=True)
    (left / "shop__events.arrow").write_bytes(b"half")
    lake.stage(
        "f",
        "select b.id, e.amount as f from base b left join"
        " (select customer, max(amount) as amount from shop.events group by customer) e on e.customer = b.customer",
    )
    assert not left.exists()


def test_two_slots_do_each_file_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces side by side write every file exactly once."""
    lake.close()
    two = Lake(lake.home, **{"limits.memory_bytes": 300 << 20, "limits.threads": 2})
    assert 2 == two.backfills.runners["local"].slots
    monkeypatch.setattr("nbplat.backfill.groups._PIECE_BYTES", 1)
    written: list[str] = []
    real = staged.write_staged

    def counted(columns: Any, **where: Any) -> Any:
        written.append(where["unit"])
        return real(columns, **where)

    monkeypatch.setattr(staged, "write_staged", counted)
    two.stage("f", SQL)
    assert [f"{n:05d}" for n in range(6)] == sorted(written)
    rows = two.staged("f@1")
    assert (rows["f"].dropna() == two.rows()["x"].dropna() * 2).all()
    two.close()


def test_pieces_are_small_enough_for_every_slot(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan's group is cut by slots and memory; a body over the whole window never is."""
    monkeypatch.setattr("nbplat.backfill.groups._PIECE_BYTES", 1)
    plan = lake.backfills.plan(BackfillSpec.build("f", ORDERS, SQL))
    assert (1, 6) == (len(plan.groups), len(cut_groups(plan, memory_bytes=1 << 30, slots=4)))
    assert 6 == len(cut_groups(plan, memory_bytes=8, slots=1))
    whole = lake.backfills.plan(BackfillSpec.build("f", ORDERS, "select id, count(*) over () as f from base"))
    assert whole.groups == cut_groups(whole, memory_bytes=1, slots=4)


@pytest.mark.parametrize("sql", [SQL, "select id, x + sum(0D) over (order by id) + x as f from base"])
def test_a_table_with_deleted_rows_is_staged_and_promoted(lake: Lake, sql: str) -> None:
    """Deleted rows are neither computed nor brought back: the plan says which files are written anew."""
    path = min(task.file.file_path for task in lake.table().scan().plan_files())
    add_position_deletes(lake.table(), path, [0, 2])
    add_equality_deletes(lake.table(), ["customer"], [{"customer": 3}])
    before = lake.rows_left()
    plan = lake.backfills.plan(BackfillSpec.build("f", ORDERS, sql))
    assert {"rewrite"} == {unit.strategy for unit in plan.units}
    run_id = lake.stage("f", sql)
    files = staged_files(lake.platform.store, run_id)
    assert (sorted(before), [False] * 6) == (sorted(lake.staged(run_id)["id"]), [file.dense for file in files])
    lake.promote(run_id)
    assert before == lake.rows_left()
    rows = lake.rows()
    assert before == rows["id"].tolist()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))


def test_a_table_of_two_partition_specs_is_staged_and_promoted(lake: Lake) -> None:
    """Files of an older spec keep it; the staging table of such a table has no partitions."""
    with lake.table().update_spec() as evolution:
        evolution.remove_field("bucket")
    more = small_rows(90).slice(60)
    lake.table().append(more)
    run_id = lake.stage("f", SQL)
    lake.promote(run_id)
    rows = lake.rows()
    assert (90, {0, 1}) == (len(rows), {task.file.spec_id for task in lake.table().scan().plan_files()})
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
