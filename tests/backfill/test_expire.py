"""Expire: leftovers go, what is used stays, and a second sweep finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbplat.backfill.expire import RunTrace, Sweep, TableTrace, candidates, plan_sweep
from nbplat.backfill.states import RunState, Step
from nbplat.errors import Conflict, NotFound
from nbplat.job import JobState
from nbplat.terms import StoredFile, local_path
from tests.fixtures.lakehouse import Lake

SQL = "select id, x * 2D as doubled from base"
WEEK_MS = 604_800_000


def expire(lake: Lake, *runs: str, older_than_ms: int = 0, dry_run: bool = False) -> Sweep:
    return lake.platform.expirer.expire(runs, older_than_ms=older_than_ms, dry_run=dry_run)


def staged_files(lake: Lake) -> list[Path]:
    return sorted((lake.home / "warehouse" / "staged").rglob("*.parquet*"))


def live_files(lake: Lake) -> set[Path]:
    return {local_path(task.file.file_path) for task in lake.table().scan().plan_files()}


def kinds(sweep: Sweep) -> dict[str, int]:
    found: dict[str, int] = {}
    for leftover in sweep.leftovers:
        found[leftover.kind] = found.get(leftover.kind, 0) + 1
    return found


def test_a_rejected_run_leaves_nothing(lake: Lake):
    """Its staging table and files go, the run is expired, the table is as it was, and a second sweep does nothing."""
    before = lake.table().metadata_location
    run_id = lake.submit("ones", "select id, case when id < 0 then 1 end as f from base").run.id  # type: ignore[union-attr]
    lake.platform.work_here("w")
    assert "rejected" == lake.state(run_id)

    shown = expire(lake, dry_run=True)
    assert 6 == len(staged_files(lake))
    swept = expire(lake)

    assert {"staging table": 1, "staged file": 6} == kinds(shown) == kinds(swept)
    assert (False, True, {run_id: "expired"}) == (shown.done, swept.done, dict(swept.runs))
    assert swept.file_bytes > 0
    assert ([], "expired", before) == (staged_files(lake), lake.state(run_id), lake.table().metadata_location)
    again = expire(lake)
    assert ((), {}, {}) == (again.leftovers, dict(again.runs), dict(again.kept))


def test_a_promoted_run_keeps_its_column_and_can_be_rolled_back(lake: Lake):
    """Its staging goes, its spliced files are the table's, and the old snapshot still takes the roll back."""
    run_id = lake.stage("doubled", SQL)
    lake.promote(run_id)
    before = lake.rows()
    files = live_files(lake)

    swept = expire(lake)

    assert {"staging table": 1, "staged file": 6, "tag": 1} == kinds(swept)
    assert ([], "promoted") == (staged_files(lake), lake.state(run_id))
    assert all(path.exists() for path in files)
    assert before.equals(lake.rows())
    with pytest.raises(Conflict, match="staged files have expired"):
        lake.backfills.staged_columns(run_id)
    lake.roll_back(run_id)
    assert "doubled" not in lake.rows().columns
    assert {run_id: "expired"} == dict(expire(lake).runs)


def test_what_awaits_a_decision_stays_unless_it_is_named(lake: Lake):
    """A sweep without names leaves audited runs; a name takes one of them at once."""
    one, two = lake.stage("one", SQL), lake.stage("two", "select id, x * 3D as tripled from base")

    assert (()) == expire(lake).leftovers
    expire(lake, "two", older_than_ms=WEEK_MS)

    assert ("awaiting_promotion", "expired") == (lake.state(one), lake.state(two))
    assert 6 == len(staged_files(lake))
    lake.promote(one)


def test_young_runs_stay(lake: Lake):
    """Without a name, a run must have rested for the given age."""
    run_id = lake.stage("one", SQL)
    lake.roll_back(run_id)

    assert {} == dict(expire(lake, older_than_ms=WEEK_MS).runs)
    assert {run_id: "expired"} == dict(expire(lake, older_than_ms=0).runs)


def test_half_made_files_of_killed_tries_are_swept_and_used_ones_stay(lake: Lake):
    """Leftovers of staging and of promotion go; the run's own files, and files of unknown runs that are young, stay."""
    run_id = lake.stage("doubled", SQL)
    lake.promote(run_id)
    live = live_files(lake)
    other = lake.stage("other", "select id, x * 5D as f from base")
    staged = staged_files(lake)
    folder = next(path.parent for path in staged if path.parent.name == "other-1")
    (folder / "00000-7.parquet").write_bytes(b"half")
    (folder / "00001-7.parquet.partial").write_bytes(b"half")
    one = min(live)
    beside = one.with_name(one.name.split("--nb-")[0] + "--nb-doubled-1-99.parquet")
    beside.write_bytes(b"half")
    stranger = one.with_name(one.name.split("--nb-")[0] + "--nb-stranger-4-1.parquet")
    stranger.write_bytes(b"somebody's")

    swept = expire(lake, older_than_ms=WEEK_MS)

    assert {"staged file": 2, "spliced file": 1} == kinds(swept)
    assert not beside.exists()
    assert stranger.exists()
    assert ["no run of this ledger made it, and it is young"] == list(swept.kept.values())
    assert staged == staged_files(lake)
    assert all(path.exists() for path in live)
    lake.promote(other)


def test_a_failed_promotion_keeps_what_its_next_try_goes_on_with(lake: Lake):
    """Files that were spliced before a failure are not swept while the run awaits its promotion."""
    run_id = lake.stage("doubled", SQL)
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    publisher = lake.backfills.publisher

    class Fails:
        def __getattr__(self, name: str) -> Any:
            if name.startswith("publish") and name != "published":
                raise Conflict("promotion.test", "it cannot be published now", fix="try again")
            return getattr(publisher, name)

    lake.platform.parts["publisher"] = lambda _real: Fails()
    lake.platform.work_here("w")
    lake.platform.parts.clear()
    assert "awaiting_promotion" == lake.state(run_id)

    assert () == expire(lake).leftovers

    lake.promote(run_id)


def test_a_file_that_another_table_took_in_stays(lake: Lake):
    """A staged file that somebody added to a table of their own is used, whatever becomes of its run."""
    run_id = lake.stage("doubled", SQL)
    kept = staged_files(lake)[0]
    rows = lake.table(str(lake.backfills.find(run_id).outputs["staging_table"])).scan().to_arrow()
    copy = lake.catalog.create_table("shop.copy", rows.schema)
    copy.add_files([f"file://{kept}"])

    expire(lake, run_id)

    assert [kept] == staged_files(lake)
    assert lake.table("shop.copy").scan().to_arrow().num_rows > 0
    assert "expired" == lake.state(run_id)


def test_a_sweep_takes_no_run_that_works(lake: Lake):
    """A run with a live job is refused by name, and left alone without."""
    run = lake.submit("doubled", SQL).run
    assert run is not None
    lake.backfills.pause(run.id)

    assert {} == dict(expire(lake).runs)
    with pytest.raises(Conflict) as refused:
        expire(lake, run.id)

    assert "expire.busy" == refused.value.code
    assert JobState.PAUSED is lake.platform.store.jobs(run_id=run.id)[0].state


def test_an_unknown_run_is_not_found(lake: Lake):
    """A name that no run has is an error before anything is deleted."""
    with pytest.raises(NotFound):
        expire(lake, "nobody")


def trace(name: str, state: RunState, **rest: Any) -> RunTrace:
    return RunTrace(name, state, "t.x", rest.pop("updated_ms", 0), rest.pop("busy", False), frozenset(), **rest)


def test_only_runs_that_rest_and_need_no_decision_are_taken():
    """Age, state and live jobs decide; a name overrides age and decision."""
    runs = [
        trace("old@1", RunState.ROLLED_BACK),
        trace("young@1", RunState.ROLLED_BACK, updated_ms=90),
        trace("busy@1", RunState.PLANNED, busy=True),
        trace("audited@1", RunState.AWAITING_PROMOTION),
        trace("staging@1", RunState.STAGING),
        trace("named@1", RunState.AWAITING_PROMOTION, updated_ms=99, named=True),
    ]

    assert ["old@1", "named@1"] == [run.id for run in candidates(runs, now_ms=100, older_than_ms=50)]


def test_branches_and_tags_of_other_runs_and_people_stay():
    """Only refs of the taken runs go, whatever fence stands in a branch's name."""
    refs = ("main-copy", "nb-a-1", "nb-a-1-7", "nb-pre-a-1", "nb-a-11", "nb-b-1", "nb-weird")
    runs = [trace("a@1", RunState.ROLLED_BACK), trace("b@1", RunState.AWAITING_PROMOTION)]

    sweep = plan_sweep(
        runs,
        {"a@1"},
        staging_tables={"t__bf.x__a__1": "a@1", "t__bf.x__b__1": "b@1", "t__bf.x__z__1": "z@1"},
        staged=[StoredFile("/s/a-1/0-1.parquet", 3, 0), StoredFile("/s/b-1/0-1.parquet", 3, 0)],
        tables=[TableTrace("t.x", refs, ())],
        used={"/s/b-1/0-1.parquet"},
        now_ms=100,
        older_than_ms=50,
    )

    assert [
        ("staging table", "t__bf.x__a__1"),
        ("staged file", "/s/a-1/0-1.parquet"),
        ("branch", "nb-a-1"),
        ("branch", "nb-a-1-7"),
        ("tag", "nb-pre-a-1"),
    ] == [(leftover.kind, leftover.name) for leftover in sweep.leftovers]
