"""Running cells again, at the same moment, and cancelling them; reading their logs."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from tests.fixtures.lakehouse import ORDERS
from tests.fixtures.product import Product
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


def test_the_same_cell_at_the_same_moment(retail: Product, calm: pa.Table) -> None:
    """Two processes that ask for the same run, with no service running, get one run with one staging job."""
    retail.run("service", "stop")
    words = retail.cell("race")
    racers = [retail.start(*words) for _ in range(2)]
    ran = [retail.ended(racer) for racer in racers]
    assert [0, 0] == [each.code for each in ran], ran
    assert ["race@1 awaiting_promotion"] * 2 == [" ".join(each.out.split()[:2]) for each in ran]
    assert [False, True] == sorted("attached to race@1" in each.out for each in ran)
    with retail.platform() as platform:
        assert ["race@1"] == [run.id for run in platform.store.runs("backfill", name="race")]
        kinds = [job.kind for job in platform.store.jobs(run_id="race@1")]
    assert ["backfill.audit", "backfill.stage"] == kinds
    assert calm.equals(retail.staged("race@1"))


def test_a_cell_again_attaches_and_a_changed_one_does_not(shop: Product) -> None:
    """The same cell attaches to its staged run and says so; another body makes a new number, as does ``--new``."""

    words = shop.cell("again", "SELECT id, x * 2 AS again FROM base", ORDERS, "id")
    first = shop.json(*words, "--background")
    shop.run("backfill", "attach", "again")
    again = shop.json(*words)
    assert ("again@1", "awaiting_promotion") == (again["run"]["id"], again["run"]["state"])
    assert first["run"]["created_ms"] == again["run"]["created_ms"]
    assert ["attached to again@1, which is awaiting promotion"] == again["notes"]
    changed = shop.cell("again", "SELECT id, x * 3 AS again FROM base", ORDERS, "id")
    assert "again@2" == shop.json(*changed)["run"]["id"]
    assert "again@3" == shop.json(*changed, "--new")["run"]["id"]


def test_cancel_ends_the_processes_and_the_cell_goes_on(retail: Product) -> None:
    """A cancelled staging leaves no process and a planned run; the cell again stages only what is missing."""
    words, gate, before = retail.held_cell("halt")
    assert "next: it goes on by itself; " in retail.run(*words, "--background").out
    [told] = [line for line in retail.run("backfill", "status").out.splitlines() if line.startswith("halt@1 ")]
    assert "it goes on by itself; " in told
    wait_until(lambda: retail.done("halt@1", "stage") == before, limit_s=60, what="the files before the held one")
    assert "halt@1 planned" in retail.run("backfill", "cancel", "halt").out
    assert [] == retail.steps()
    assert "cancelled" == retail.json("job", "list", "--run", "halt@1")[0]["state"]
    done = retail.done("halt@1", "stage")
    assert 3 <= done < 48
    gate.touch()
    assert "halt@1 awaiting_promotion 48/48" in retail.run(*words).out
    with retail.platform() as platform:
        events = platform.store.events(run_id="halt@1", limit=5000)
    counts = Counter(e.unit_id for e in events if e.kind == "unit.done")
    assert (48, {1}) == (len(counts), set(counts.values()))
    staged = retail.staged("halt@1")
    assert [float(each) for each in staged["example_id"].to_pylist()] == staged["value"].to_pylist()
    idle = retail.run("backfill", "cancel", "halt", code=2)
    assert idle.err.startswith("backfill.idle: ")


def test_logs_of_runs_and_jobs(retail: Product) -> None:
    """A run's log holds its jobs' logs in order; a job's log is read on from a byte."""
    retail.run(*retail.cell("told"))
    whole = retail.run("backfill", "logs", "told").out
    heads = [line for line in whole.splitlines() if line.startswith("-- ")]
    assert ["backfill.stage succeeded", "backfill.audit succeeded"] == [line.split(maxsplit=2)[2] for line in heads]
    assert "try 1 of backfill.stage for told@1 starts" in whole
    assert "determinism told 64 rows computed again are equal" in whole
    job = heads[1].split()[1]
    log = retail.json("job", "logs", job)["log"]
    assert log in whole
    offset = log.index("\n") + 1
    assert log[offset:] == retail.json("job", "logs", job, "--offset", str(offset))["log"]
    assert log.splitlines()[-1] == retail.json("job", "logs", job, "--tail", "1")["log"]
    past = retail.run("job", "logs", job, "--offset", "1000000", code=2)
    assert past.err.startswith("log.offset: ")
