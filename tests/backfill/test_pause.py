"""Pause and resume: what is finished stays, nothing is done twice, and a restart changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from nbplat.backfill.stage import stage_scope
from nbplat.errors import Conflict
from nbplat.job import JobState
from tests.fixtures.lakehouse import Lake

SQL = "select id, x * 2D as doubled from base"


class PausesAfter:
    """A ledger in which somebody asks to pause once so many units are done."""

    def __init__(self, store: Any, units: int) -> None:
        self._store, self._left = store, units

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def finish_unit(self, *args: Any) -> Any:
        done = self._store.finish_unit(*args)
        self._count(1)
        return done

    def finish_units(self, *args: Any) -> Any:
        done = self._store.finish_units(*args)
        self._count(len(done))
        return done

    def _count(self, units: int) -> None:
        self._left -= units
        if not self._left:
            [job] = self._store.jobs(states={JobState.RUNNING})
            self._store.request_pause(job.id)


def one_by_one(lake: Lake) -> Lake:
    """The same lake with so little memory that each file is a query of its own."""
    return Lake(lake.home, **{"limits.memory_bytes": 1})


@pytest.fixture
def slow(lake: Lake) -> Any:
    slow = one_by_one(lake)
    yield slow
    slow.close()


def test_a_paused_stage_keeps_what_is_done_and_goes_on_after_a_restart(slow: Lake):
    """It stops between two files; after a restart nothing moves until it is resumed, and no file is done twice."""
    run = slow.submit("doubled", SQL).run
    assert run is not None
    slow.platform.__dict__["store"] = PausesAfter(slow.platform.store, 2)

    [job] = slow.platform.work_here("w")

    done = [unit for unit in slow.platform.store.units(stage_scope(run.id)) if unit.state == "done"]
    assert (JobState.PAUSED, "staging") == (job.state, slow.state(run.id))
    assert 2 <= len(done) < 6
    slow.reopen()
    assert [] == slow.platform.work_here("w")

    slow.backfills.resume(run.id)
    slow.work()

    assert "awaiting_promotion" == slow.state(run.id)
    assert [1] * 6 == [unit.attempts for unit in slow.platform.store.units(stage_scope(run.id))]


def test_a_paused_promotion_shows_nothing_and_goes_on(slow: Lake):
    """Between two files of a promotion, main is as it was; resumed, the column is whole."""
    run_id = slow.stage("doubled", SQL)
    from nbplat.backfill.states import Step

    slow.backfills.step(run_id, Step.PROMOTE, owner="me")
    slow.platform.__dict__["store"] = PausesAfter(slow.platform.store, 2)
    before = slow.table().metadata_location

    [job] = slow.platform.work_here("w")

    assert (JobState.PAUSED, "promoting") == (job.state, slow.state(run_id))
    assert [column.name for column in slow.table().schema().fields] == ["id", "customer", "ts", "x", "tag"]
    assert slow.table().current_snapshot() == slow.catalog.load_table("shop.orders").current_snapshot()
    assert before is not None
    slow.reopen()
    slow.backfills.resume(run_id)
    slow.work()
    assert "promoted" == slow.state(run_id)
    rows = slow.rows()
    assert rows["x"].mul(2).dropna().tolist() == rows["doubled"].dropna().tolist()


def test_a_paused_run_can_be_cancelled(slow: Lake):
    """Cancelling ends a paused job at once and gives the run its last completed state back."""
    run = slow.submit("doubled", SQL).run
    assert run is not None
    slow.backfills.pause(run.id)
    job = slow.platform.store.jobs(run_id=run.id)[0]
    assert JobState.PAUSED is job.state

    slow.backfills.cancel(run.id)
    slow.platform.settle(slow.platform.store.job(job.id))

    assert (JobState.CANCELLED, "planned") == (slow.platform.store.job(job.id).state, slow.state(run.id))


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_run_without_a_job_has_nothing_to_pause(slow: Lake, verb: str):
    """A run that rests is left alone, with a word on where it is."""
    run_id = slow.stage("doubled", SQL)

    with pytest.raises(Conflict) as refused:
        getattr(slow.backfills, verb)(run_id)

    assert "backfill.idle" == refused.value.code
