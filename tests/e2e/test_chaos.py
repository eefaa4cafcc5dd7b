"""``kill -9`` at random moments: the run finishes by itself after the next command, and nothing counts twice.

``NBPLAT_CHAOS_ROUNDS`` sets how many rounds there are; the seed of a round is its number.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from nbplat.terms import local_path
from tests.fixtures.product import Product
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

ROUNDS = int(os.environ.get("NBPLAT_CHAOS_ROUNDS", "5"))
VICTIMS = ("service", "worker", "both", "step")
UNITS = 48


def check_ledger(product: Product, run_id: str, step: str, kills: int = 1) -> None:
    """Every unit is done, was counted once, and names a finished file; a kill costs the one unit in flight."""
    with product.platform() as platform:
        events = platform.store.events(run_id=run_id, limit=5000)
        scopes = {e.data["scope"] for e in events if e.kind == "unit.done" and f"/{step}" in e.data["scope"]}
        units = [unit for scope in scopes for unit in platform.store.units(scope)]
    counted = Counter(e.unit_id for e in events if e.kind == "unit.done" and e.data["scope"] in scopes)
    leased = sum(e.kind == "unit.leased" and e.data["scope"] in scopes for e in events)
    assert {unit.id: 1 for unit in units} == counted
    assert UNITS <= leased <= UNITS + kills
    assert (["done"] * UNITS, 1) == ([unit.state for unit in units], len(scopes))
    paths = [local_path((unit.result or {}).get("path") or (unit.result or {})["new_path"]) for unit in units]
    assert UNITS == len(set(paths))
    assert {".parquet"} == {path.suffix for path in paths if path.is_file()}


def check_staged(product: Product, run_id: str, calm: pa.Table, kills: int = 1) -> None:
    """The staged rows are the table's, and their values those of an undisturbed run."""
    check_ledger(product, run_id, "stage", kills)
    assert calm.equals(product.staged(run_id))
    assert product.rows()["example_id"].equals(calm["example_id"])


def check_refs(product: Product) -> None:
    """No run has left a branch; tags name what main was before a promotion."""
    with product.platform() as platform:
        refs = platform.catalog.load_table("retail.train").refs()
    assert ["main"] == [name for name, ref in refs.items() if ref.snapshot_ref_type == "branch"]


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them lives."""
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_while_it_stages_and_promotes(retail: Product, calm: pa.Table, seed: int) -> None:
    """Whatever is killed whenever, the next command brings it back on its port, and the table is right."""
    rng = random.Random(seed)  # noqa: S311
    run_id, before = f"chaos_{seed}@1", retail.rows()
    retail.run(*retail.cell(f"chaos_{seed}"), "--background")
    address = retail.address()
    moment = rng.randint(1, 36)
    wait_until(lambda: retail.done(run_id, "stage") >= moment, limit_s=60, what=f"unit {moment}")
    running = retail.steps()
    retail.kill(VICTIMS[seed % len(VICTIMS)])
    if VICTIMS[seed % len(VICTIMS)] != "service":
        wait_until(lambda: gone(running), what="the end of the step")
    assert UNITS > retail.done(run_id, "stage")
    assert "awaiting_promotion 48/48" in retail.run("backfill", "attach", run_id).out
    assert address == retail.address()
    check_staged(retail, run_id, calm)

    follower = retail.start("backfill", "promote", run_id)
    moment = rng.randint(1, UNITS)
    wait_until(lambda: retail.done(run_id, "promote") >= moment, limit_s=60, what=f"splice {moment}")
    retail.kill(VICTIMS[(seed + 1) % len(VICTIMS)] if retail.steps() else "service")
    ended = retail.ended(follower)
    assert (0, True) == (ended.code, f"{run_id} promoted" in ended.out), ended
    assert address == retail.address()
    check_ledger(retail, run_id, "promote")
    after = retail.rows()
    assert [*before.column_names, f"chaos_{seed}"] == after.column_names
    assert before.equals(after.select(before.column_names))
    assert calm["value"].equals(after[f"chaos_{seed}"])
    check_refs(retail)
    wait_until(lambda: not retail.steps(), what="the end of the last step")


def test_a_worker_killed_again_and_again(retail: Product, calm: pa.Table) -> None:
    """The service starts a new worker each time, which does only what was in flight again; no command is needed."""
    retail.run(*retail.cell("thrice"), "--background")
    for moment in (3, 17, 33):
        wait_until(lambda moment=moment: retail.done("thrice@1", "stage") >= moment, limit_s=60, what=f"unit {moment}")
        running = retail.steps()
        retail.kill("worker")
        wait_until(lambda running=running: gone(running), what="the end of the step with its worker")
    assert "awaiting_promotion" in retail.run("backfill", "attach", "thrice").out
    check_staged(retail, "thrice@1", calm, kills=3)
    assert not [path for path in staged_files(retail, "thrice@1") if not path.is_file()]


def staged_files(product: Product, run_id: str) -> list[Path]:
    """The files that the staging table names."""
    with product.platform() as platform:
        table = platform.catalog.load_table(platform.backfills.find(run_id).outputs["staging_table"])
        return [local_path(task.file.file_path) for task in table.scan().plan_files()]
