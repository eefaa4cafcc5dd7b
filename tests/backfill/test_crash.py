"""A process may end at any point: the next one goes on, with the same result and nothing counted twice."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest

from nbplat.backfill.states import Step
from nbplat.job import JobState
from nbplat.remote import staged
from nbplat.remote.write import write_staged
from tests.fixtures.lakehouse import Killed, Lake, WrappedPlatform

pytestmark = pytest.mark.process

SQL = "select id, x * 2D as f, customer + 1 as g from base"


class Deadly:
    """Wraps a part: the process ends before or after the n-th call of one method.

    Args:
        at: Method, the call's number, and whether the call still takes effect.
    """

    def __init__(self, part: Any, platform: WrappedPlatform, at: tuple[str, int, bool], seen: list[str]) -> None:
        self._part, self._platform, self._at, self._seen = part, platform, at, seen

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        method, number, after = self._at
        if name != method:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._seen.append(name)
            if len(self._seen) <= number:
                return value(*args, **kwargs)
            if after:
                value(*args, **kwargs)
            self._platform.die()
            return None

        return call


def kill_at(lake: Lake, part: str, method: str, number: int, *, after: bool) -> None:
    platform, seen = lake.platform, []

    def deadly(real: Any) -> Any:
        return Deadly(real, platform, (method, number, after), seen)

    with pytest.MonkeyPatch.context() as patch:
        if part == "staged":
            # What a piece of staging writes with, in whichever thread it runs.
            patch.setattr(staged, method, getattr(deadly(staged), method))
        else:
            platform.parts[part] = deadly
        with pytest.raises(Killed):
            platform.work_here("w")
    lake.reopen()


def in_check(lake: Lake, act: Callable[[], None]) -> None:
    """Do something between the commit on the branch and the move of main."""

    class Checking:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        def __getattr__(self, name: str) -> Any:
            return getattr(self._publisher, name)

        def publish(self, *args: Any) -> Any:
            act()
            return self._publisher.publish(*args)

    lake.platform.parts["publisher"] = Checking


def done_once(lake: Lake, scope: str, expected: int = 6) -> None:
    """Each unit has exactly one end in the ledger's events."""
    events = lake.platform.store.events(limit=100_000)
    ends = collections.Counter(e.unit_id for e in events if e.kind == "unit.done" and e.data["scope"] == scope)
    assert [1] * expected == list(ends.values())


def finish(lake: Lake) -> None:
    """Go on to the end, and look at everything."""
    rows = lake.rows()
    assert "awaiting_promotion" == lake.state("f@1")
    done_once(lake, "f@1/stage")
    assert 60 == len(lake.staged("f@1"))
    lake.promote("f@1")
    promoted(lake, rows)


def promoted(lake: Lake, before: pd.DataFrame) -> None:
    run = lake.backfills.find("f@1")
    assert "promoted" == run.state
    done_once(lake, "f@1/promote")
    rows = lake.rows()
    old = ["id", "customer", "ts", "x", "tag"]
    pd.testing.assert_frame_equal(before[old], rows[old])
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
    assert (rows["customer"] + 1).tolist() == rows["g"].tolist()
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)
    assert 2 == len(history_of(lake))
    [now, then] = history_of(lake)
    assert run.outputs["publication"]["snapshot_id"] == now
    assert run.outputs["publication"]["previous_snapshot_id"] == then


def run_outputs(lake: Lake) -> Mapping[str, Any]:
    return lake.backfills.find("f@1").outputs


def history_of(lake: Lake) -> list[int]:
    """Snapshots of main, newest first."""
    metadata, found = lake.table().metadata, []
    head = metadata.current_snapshot()
    while head is not None:
        found.append(head.snapshot_id)
        head = metadata.snapshot_by_id(head.parent_snapshot_id) if head.parent_snapshot_id else None
    return found


STAGE_KILLS = [
    ("staged", "write_staged", 0, False),
    ("staged", "write_staged", 2, False),
    ("staged", "write_staged", 3, True),
    ("store", "finish_units", 0, False),
    ("store", "finish_units", 0, True),
    ("store", "move_run", 0, True),
    ("publisher", "commit_staging", 0, False),
    ("publisher", "commit_staging", 0, True),
    ("store", "move_run", 1, False),
    ("store", "move_run", 1, True),
]


@pytest.mark.parametrize("point", STAGE_KILLS, ids=lambda p: f"{p[1]}-{p[2]}-{'after' if p[3] else 'before'}")
def test_staging_goes_on_after_a_kill(lake: Lake, point: tuple[str, str, int, bool]) -> None:
    """Killed between any two effects of staging, the run ends by itself with each file counted once."""
    part, method, number, after = point
    lake.submit("f", SQL)
    kill_at(lake, part, method, number, after=after)
    lake.work()
    finish(lake)


def test_staging_goes_on_after_many_kills(lake: Lake) -> None:
    """Killed after each file, it still ends, and no file is computed twice but those in flight."""
    lake.submit("f", SQL)
    for _ in range(5):
        kill_at(lake, "staged", "write_staged", 0, after=True)
    lake.work()
    finish(lake)


PROMOTE_KILLS = [
    ("publisher", "open", 0, False),
    ("publisher", "open", 0, True),
    ("splicer", "splice", 0, False),
    ("splicer", "splice", 2, True),
    ("splicer", "splice", 5, True),
    ("store", "finish_unit", 3, True),
    ("publisher", "put", 0, False),
    ("publisher", "put", 0, True),
    ("splicer", "unchanged", 3, True),
    ("publisher", "publish", 0, False),
    ("publisher", "publish", 0, True),
    ("store", "move_run", 0, True),
    ("store", "move_run", 1, True),
    ("store", "move_run", 2, False),
    ("store", "move_run", 2, True),
]


@pytest.mark.parametrize("point", PROMOTE_KILLS, ids=lambda p: f"{p[1]}-{p[2]}-{'after' if p[3] else 'before'}")
def test_promotion_goes_on_after_a_kill(lake: Lake, point: tuple[str, str, int, bool]) -> None:
    """Killed between any two effects of a promotion, main moves exactly once and no branch is left."""
    part, method, number, after = point
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    kill_at(lake, part, method, number, after=after)
    lake.work()
    promoted(lake, before)


def test_a_kill_between_branch_and_main_leaves_main_alone(lake: Lake) -> None:
    """With the branch committed and main not moved, readers see nothing; the next try publishes."""
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    in_check(lake, lake.platform.die)
    with pytest.raises(Killed):
        lake.platform.work_here("w")
    lake.reopen()
    assert {"main", "nb-f-1-1-1"} == set(lake.table().metadata.refs)
    pd.testing.assert_frame_equal(before, lake.rows())
    lake.work()
    promoted(lake, before)


def test_a_run_killed_in_promotion_can_be_rolled_back(lake: Lake) -> None:
    """A promotion that never came to publish leaves, once rolled back, no branch and no column."""
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    in_check(lake, lake.platform.die)
    with pytest.raises(Killed):
        lake.platform.work_here("w")
    lake.reopen()
    [job] = lake.platform.store.jobs(states={JobState.QUEUED})
    lake.platform.store.request_cancel(job.id)
    lake.platform.settle(lake.platform.store.job(job.id))
    lake.roll_back(run_id)
    assert {"main"} == set(lake.table().metadata.refs)
    pd.testing.assert_frame_equal(before, lake.rows())


ROLLBACK_KILLS = [
    ("store", "move_run", 0, True),
    ("publisher", "open", 0, True),
    ("publisher", "put", 0, False),
    ("publisher", "put", 0, True),
    ("publisher", "publish", 0, False),
    ("publisher", "publish", 0, True),
    ("store", "move_run", 1, False),
    ("store", "move_run", 1, True),
]


@pytest.mark.parametrize("point", ROLLBACK_KILLS, ids=lambda p: f"{p[1]}-{p[2]}-{'after' if p[3] else 'before'}")
def test_a_roll_back_goes_on_after_a_kill(lake: Lake, point: tuple[str, str, int, bool]) -> None:
    """Killed anywhere in a roll back, the table reads as before the run, reverted once."""
    part, method, number, after = point
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.promote(run_id)
    snapshots = len(history_of(lake))
    lake.backfills.step(run_id, Step.ROLLBACK, owner="me")
    kill_at(lake, part, method, number, after=after)
    lake.work()
    assert "rolled_back" == lake.state(run_id)
    assert snapshots + 1 == len(history_of(lake))
    assert lake.table().metadata.current_snapshot_id == run_outputs(lake)["reverted"]["snapshot_id"]
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)
    pd.testing.assert_frame_equal(before, lake.rows())


CHUNK_KILLS = [("splicer", "splice", 2, True), ("publisher", "put", 0, True), ("publisher", "publish", 0, True)]


@pytest.mark.parametrize("point", CHUNK_KILLS, ids=lambda p: f"{p[1]}-{p[2]}")
def test_a_roll_back_by_chunk_goes_on_after_a_kill(lake: Lake, point: tuple[str, str, int, bool]) -> None:
    """Killed while one of two runs' chunks are left out, the other's column is right, and no branch is left."""
    part, method, number, after = point
    run_id, before = lake.stage("f", SQL), lake.rows()
    other = lake.stage("h", "select id, x * 9D as h from base")
    lake.promote(run_id)
    lake.promote(other)
    lake.backfills.step(run_id, Step.ROLLBACK, owner="me")
    kill_at(lake, part, method, number, after=after)
    lake.work()
    assert "rolled_back" == lake.state(run_id)
    assert lake.table().metadata.current_snapshot_id == run_outputs(lake)["reverted"]["snapshot_id"]
    rows = lake.rows()
    assert [*before.columns, "h"] == list(rows.columns)
    assert (before["x"] * 9).equals(rows["h"].rename("x"))
    assert {"main", "nb-pre-f-1", "nb-pre-h-1"} == set(lake.table().metadata.refs)


@pytest.mark.parametrize("point", CHUNK_KILLS, ids=lambda p: f"{p[1]}-{p[2]}")
def test_a_promotion_by_key_goes_on_after_a_kill(lake: Lake, point: tuple[str, str, int, bool]) -> None:
    """Killed while values are aligned again to files that others have rewritten, they end where they belong."""
    part, method, number, after = point
    lake.stage("f", SQL)
    rows = lake.table().scan().to_arrow()
    lake.table().overwrite(rows.sort_by([("id", "descending")]))
    before = lake.rows()
    lake.backfills.step("f@1", Step.PROMOTE, owner="me")
    kill_at(lake, part, method, number, after=after)
    lake.work()
    rows = lake.rows()
    assert (before["x"] * 2).equals(rows["f"].rename("x"))
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)


def test_an_interrupted_call_goes_on_with_the_next(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while working in this process gives the job back: the next call does the rest."""
    lake.submit("f", SQL)
    calls: list[int] = []

    def interrupting(columns: Any, **where: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_staged(columns, **where)

    monkeypatch.setattr(staged, "write_staged", interrupting)
    with pytest.raises(KeyboardInterrupt):
        lake.platform.work_here("w")
    lake.work()
    finish(lake)


def test_a_dead_promotion_goes_on_at_once_and_keeps_others_out_meanwhile(lake: Lake) -> None:
    """The table's lease stays with the run of the dead promotion; another waits its time and is told who holds it."""
    first, before = lake.stage("f", SQL), lake.rows()
    other = lake.stage("h", "select id, x * 9D as h from base")
    lake.backfills.step(first, Step.PROMOTE, owner="me")
    kill_at(lake, "splicer", "splice", 1, after=True)
    [dead] = lake.platform.store.jobs(states={JobState.QUEUED})
    held = lake.platform.store.claim_job("elsewhere", lease_ms=60_000)
    assert held is not None
    assert dead.id == held.id
    lake.backfills.step(other, Step.PROMOTE, owner="me")
    lake.platform.parts["wait_ms"] = lambda _real: 300
    error = lake.fail()
    assert ("lease.held", True) == (error["code"], "f@1" in error["message"])
    assert "awaiting_promotion" == lake.state(other)
    lake.platform.store.release_job(held.id, held.fence)
    lake.work()
    promoted(lake, before)
