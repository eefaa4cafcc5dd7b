"""The verbs of a run through the real command line, service and worker."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fixtures.lakehouse import ORDERS
from tests.fixtures.product import Product
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


def pause_asked(product: Product, run_id: str) -> bool:
    """Whether the run's live job has been asked to pause."""
    with product.platform() as platform:
        return any(job.pause_requested for job in platform.store.jobs(run_id=run_id))


def test_a_paused_run_waits_over_a_restart_and_goes_on(retail: Product) -> None:
    """Pause leaves no process; a new service leaves it paused; resume stages what is missing, each file once."""
    words, gate, before = retail.held_cell("rest")
    retail.run(*words, "--background")
    wait_until(lambda: retail.done("rest@1", "stage") == before, limit_s=60, what="the files before the held one")
    pausing = retail.start("backfill", "pause", "rest")
    wait_until(lambda: pause_asked(retail, "rest@1"), what="the wish to pause")
    gate.touch()
    ran = retail.ended(pausing)
    assert 0 == ran.code, ran
    paused = ran.out
    assert paused.startswith("rest@1 staging "), paused
    assert "paused\n" in paused
    assert "next: `nbplat backfill resume rest@1`" in paused
    wait_until(lambda: not retail.steps(), limit_s=30, what="the end of the paused step")
    done = retail.done("rest@1", "stage")
    assert 3 <= done < 48

    retail.run("service", "stop", "--yes")
    assert "paused" in retail.run("backfill", "status", "rest").out
    assert "paused" in retail.run("backfill", "attach", "rest").out
    assert done == retail.done("rest@1", "stage")

    assert "rest@1 awaiting_promotion 48/48" in retail.run("backfill", "resume", "rest").out
    with retail.platform() as platform:
        events = platform.store.events(run_id="rest@1", limit=5000)
    counts = Counter(event.unit_id for event in events if event.kind == "unit.done")
    assert (48, {1}) == (len(counts), set(counts.values()))
    staged = retail.staged("rest@1")
    assert [float(each) for each in staged["example_id"].to_pylist()] == staged["value"].to_pylist()
    assert retail.run("backfill", "resume", "rest", code=2).err.startswith("backfill.idle: ")


def test_runs_are_compared_and_swept(shop: Product) -> None:
    """`diff` names the changed rows on every surface; `expire` shows first and deletes with --yes, once."""
    shop.run(*shop.cell("one", "SELECT id, x AS f FROM base", ORDERS, "id"))
    shop.run(*shop.cell("two", "SELECT id, CASE WHEN id = 7 THEN 0D ELSE x END AS f FROM base", ORDERS, "id"))

    grid = shop.run("backfill", "grid", "two").out.splitlines()
    assert grid[0].startswith("two@1 awaiting_promotion: ")
    assert {"done"} == {line.split()[1] for line in grid[1:]}
    assert 6 == sum(each["done"] for each in shop.json("backfill", "grid", "two"))

    text = shop.run("backfill", "diff", "two", "one").out
    report = shop.json("backfill", "diff", "two", "one")
    by_http = shop.client().get("/api/v1/backfills/two@1/diff", other="one", column=["f"])
    assert "two@1 against one@1" in text
    assert report == by_http
    assert (1, [{"id": "7"}]) == (
        report["columns"][0]["changed"],
        [each["key"] for each in report["columns"][0]["examples"]],
    )

    shop.run("backfill", "promote", "one")
    assert 1 == shop.json("backfill", "diff", "two")["columns"][0]["changed"]
    shop.run("backfill", "rollback", "one")
    before = shop.picture()
    shown = shop.run("backfill", "expire", "one").out
    assert "would delete" in shown
    assert "the same with --yes deletes it" in shown
    assert before == shop.picture()
    assert ["one@1"] == list(shop.json("backfill", "expire", "one", "--yes")["runs"])
    again = shop.json("backfill", "expire", "--older-than", "0s", "--yes")
    assert ([], {}) == (again["leftovers"], again["runs"])
    assert "one@1  expired" in shop.run("backfill", "list").out
    assert "awaiting_promotion" in shop.run("backfill", "status", "two").out


def test_failed_files_tell_their_own_errors(shop: Product) -> None:
    """A run of which some files fail ends with an error; logs and show name each file, its partition and its reason."""
    sql = "SELECT id, CASE WHEN month(ts) = 3 THEN 1 / (id - id) ELSE 1 END AS f FROM base"
    failed = shop.run(*shop.cell("poison", sql, ORDERS, "id"), code=4)
    assert "body.values: 2 of 6 files failed" in failed.err
    logs = shop.json("backfill", "logs", "poison")
    assert {"body.values"} == {unit["error"]["code"] for unit in logs["failed_units"]}
    assert ["month=2024-03"] * 2 == [unit["partition"].split(",")[0] for unit in logs["failed_units"]]
    assert "files that failed" in shop.run("backfill", "logs", "poison").out
    assert "DIVIDE_BY_ZERO" in shop.run("backfill", "show", "poison").out


def test_a_run_that_costs_too_much_is_refused(shop: Product) -> None:
    """With prices, a run above --max-cost is refused before any effect; without, it says how to set them."""
    cell = shop.cell("dear", "SELECT id, x AS f FROM base", ORDERS, "id")
    refused = shop.run(*cell, "--max-cost", "1", code=2)
    assert refused.err.startswith("cost.prices: ")
    shop.run("service", "stop", "--yes")
    prices = {"NBPLAT_PRICES_STORAGE_GB_MONTH": "1000000"}
    before = shop.picture()
    refused = shop.run(*cell, "--max-cost", "0.001", code=2, **prices)
    assert refused.err.startswith("cost.over: ")
    assert before == shop.picture()
    assert "a month for the copy" in shop.run(*cell, "--dry-run", **prices).out
