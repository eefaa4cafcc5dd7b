"""One promotion of a table at a time: leases, waiting, and the catalog's refusal of who was overtaken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import SchemaChange
from nbplat.backfill.states import Step
from nbplat.errors import Conflict, RequestError
from nbplat.job import JobState
from tests.fixtures.lakehouse import Killed, Lake

F = "select id, x * 2D as f from base"
G = "select id, x + 1D as g from base"


def before_publish(lake: Lake, act: Callable[[Any, tuple[Any, ...]], Any]) -> None:
    """Put `act` in the place of the publisher's move of main; it gets the real publisher and the arguments."""

    class Acting:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        def __getattr__(self, name: str) -> Any:
            return getattr(self._publisher, name)

        def publish(self, *args: Any) -> Any:
            return act(self._publisher, args)

    lake.platform.parts["publisher"] = Acting


def test_the_catalog_refuses_a_promoter_that_was_overtaken(lake: Lake) -> None:
    """Even when the ledger is not asked, the commit of an old holder fails: its branch is gone."""
    run_id, before = lake.stage("f", F), lake.rows()
    base = BackfillPlan.from_record(lake.backfills.find(run_id).plan).base

    def overtaken(publisher: Any, args: tuple[Any, ...]) -> Any:
        head, tag, _guard, keep = args
        publisher.open(base, "nb-g-1-2-1", SchemaChange(), {}, lambda: None)
        return publisher.publish(head, tag, lambda: None, keep)

    before_publish(lake, overtaken)
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "lease.lost" == lake.fail()["code"]
    pd.testing.assert_frame_equal(before, lake.rows())
    assert {"main", "nb-g-1-2-1"} == set(lake.table().metadata.refs)
    lake.platform.parts.clear()
    lake.promote(run_id)
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)


def test_the_ledger_stops_a_promoter_whose_lease_was_taken(lake: Lake) -> None:
    """A lease that lapsed and was taken by another run ends the promotion before its next commit."""
    run_id, before = lake.stage("f", F), lake.rows()
    store = lake.platform.store

    def steal(publisher: Any, args: tuple[Any, ...]) -> Any:
        mine = store.take_lease("promote:shop.orders", run_id, ttl_ms=1)
        store.release_lease(mine)
        store.take_lease("promote:shop.orders", "g@1", ttl_ms=60_000)
        return publisher.publish(*args)

    before_publish(lake, steal)
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "lease.lost" == lake.fail()["code"]
    pd.testing.assert_frame_equal(before, lake.rows())
    assert {"main"} == set(lake.table().metadata.refs)


def test_a_second_promotion_waits_for_the_first(lake: Lake) -> None:
    """It goes on by itself once the lease is free."""
    first, second = lake.stage("f", F), lake.stage("g", G)
    held = lake.platform.store.take_lease("promote:shop.orders", first, ttl_ms=60_000)
    lake.backfills.step(second, Step.PROMOTE, owner="me")
    free = threading.Timer(0.5, lake.platform.store.release_lease, [held])
    free.start()
    lake.work()
    free.join()
    assert "promoted" == lake.state(second)


def test_a_waiting_promotion_can_be_cancelled(lake: Lake) -> None:
    """Asked to end while it waits, it does not wait on."""
    first, second = lake.stage("f", F), lake.stage("g", G)
    lake.platform.store.take_lease("promote:shop.orders", first, ttl_ms=60_000)
    job = lake.backfills.step(second, Step.PROMOTE, owner="me").job
    assert job is not None
    ask = threading.Timer(0.4, lake.platform.store.request_cancel, [job.id])
    ask.start()
    lake.platform.work_here("w")
    ask.join()
    assert "awaiting_promotion" == lake.state(second)


def test_a_cancelled_promotion_leaves_no_branch(lake: Lake) -> None:
    """Killed with its branch committed and then cancelled, it is settled without a trace."""
    run_id, before = lake.stage("f", F), lake.rows()
    before_publish(lake, lambda *_: lake.platform.die())
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    with pytest.raises(Killed):
        lake.platform.work_here("w")
    lake.reopen()
    assert {"main", "nb-f-1-1-1"} == set(lake.table().metadata.refs)
    [job] = lake.platform.store.jobs(states={JobState.QUEUED})
    lake.platform.store.request_cancel(job.id)
    lake.platform.settle(lake.platform.store.job(job.id))
    assert {"main"} == set(lake.table().metadata.refs)
    assert "awaiting_promotion" == lake.state(run_id)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_a_train_that_fails_lets_all_its_runs_go(lake: Lake) -> None:
    """Every run of it awaits promotion again, and main and its schema are as they were."""
    runs = [lake.stage("f", F), lake.stage("g", G)]
    before = lake.rows()

    def fail(*_: Any) -> Any:
        raise Conflict("test.failed", "it failed", fix="nothing")

    before_publish(lake, fail)
    lake.backfills.promote_train(runs, owner="me")
    assert "test.failed" == lake.fail()["code"]
    assert ["awaiting_promotion"] * 2 == [lake.state(run) for run in runs]
    pd.testing.assert_frame_equal(before, lake.rows())
    assert {"main"} == set(lake.table().metadata.refs)
    lake.platform.parts.clear()
    lake.promote(runs[1])
    assert ["awaiting_promotion", "promoted"] == [lake.state(run) for run in runs]


@pytest.mark.parametrize("point", ["put", "publish"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_train_goes_on_after_a_kill(lake: Lake, point: str, after: bool) -> None:
    """Killed around its commits, it publishes once, and every run of it ends promoted."""
    runs = [lake.stage("f", F), lake.stage("g", G)]
    before = lake.rows()

    class Dying:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        def __getattr__(self, name: str) -> Any:
            value = getattr(self._publisher, name)
            if name != point:
                return value

            def call(*args: Any, **options: Any) -> Any:
                if after:
                    value(*args, **options)
                lake.platform.die()

            return call

    lake.platform.parts["publisher"] = Dying
    lake.backfills.promote_train(runs, owner="me")
    with pytest.raises(Killed):
        lake.platform.work_here("w")
    lake.reopen()
    lake.work()
    assert ["promoted"] * 2 == [lake.state(run) for run in runs]
    rows = lake.rows()
    assert (before["x"] * 2).equals(rows["f"].rename("x"))
    assert (before["x"] + 1).equals(rows["g"].rename("x"))
    steps = [snapshot.summary["nbplat.step"] for snapshot in lake.table().metadata.snapshots if snapshot.summary]
    main = lake.table().current_snapshot()
    assert main is not None
    assert lake.backfills.find(runs[1]).outputs["publication"]["snapshot_id"] == main.snapshot_id
    assert steps.count("promote") <= 2
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)


def test_a_train_that_cannot_be_is_refused_before_any_effect(lake: Lake) -> None:
    """Doubled runs, runs of several tables, runs that make one column, runs that do not await promotion."""
    first, second = lake.stage("f", F), lake.stage("g", G)
    same = lake.stage("h", "select id, x as F from base")
    other = lake.stage(
        "e", "select customer, at, amount * 2D as twice from base", "shop.events", keys=["customer", "at"]
    )
    before = lake.picture()
    for runs, code in (
        ([first, first], "train.doubled"),
        ([first, other], "train.tables"),
        ([first, same], "train.column"),
    ):
        with pytest.raises(RequestError) as caught:
            lake.backfills.promote_train(runs, owner="me")
        assert code == caught.value.code
    assert before == lake.picture()
    lake.promote(second)
    with pytest.raises(Conflict) as late:
        lake.backfills.promote_train([first, second], owner="me")
    assert "backfill.state" == late.value.code
