"""New rows after a promotion: what a column does not reach yet, and filling it."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest

from nbplat.backfill.states import Step
from nbplat.errors import Conflict, RequestError
from tests.backfill.test_landing import OLD, F, compact, holds, live, same_in_both
from tests.fixtures.lakehouse import Lake, small_rows


def april(first: int, count: int = 6) -> pa.Table:
    """Rows of a month that the table has not had yet."""
    rows = small_rows(first + count).slice(first)
    days = [dt.datetime(2024, 4, 1 + n, tzinfo=dt.UTC) for n in range(count)]
    return rows.set_column(2, "ts", pa.array(days, pa.timestamp("us", tz="UTC")))


def test_new_rows_are_seen_and_filled(lake: Lake) -> None:
    """Coverage names the month that is missing; extending makes f@2, which touches no file that is covered."""
    run_id = lake.stage("f", F)
    lake.promote(run_id)
    assert ((), 6, 60) == tuple(getattr(lake.backfills.coverage(run_id), n) for n in ("gaps", "files", "covered_rows"))
    lake.table().append(april(60))
    before, field_id, covered = lake.rows(), lake.table().schema().find_field("f").field_id, live(lake)
    coverage = lake.backfills.coverage(run_id)
    assert (8, 6, 60) == (coverage.files, coverage.covered_files, coverage.covered_rows)
    assert {"ts_month=2024-04"} == {
        gap.partition.split(", ")[0].replace("month=", "ts_month=") for gap in coverage.gaps
    }
    assert 6 == sum(gap.rows for gap in coverage.gaps)
    run = lake.backfills.extend(run_id, owner="me").run
    assert run is not None
    assert ("f@2", 2) == (run.id, len(run.plan["units"]))
    lake.work()
    assert "promoted" == lake.state("f@2")
    rows = same_in_both(lake)
    pd.testing.assert_frame_equal(before[OLD], rows[OLD])
    holds(rows, "f", before["x"] * 2)
    assert field_id == lake.table().schema().find_field("f").field_id
    assert 6 == len(set(covered) & set(live(lake)))
    assert () == lake.backfills.coverage(run_id).gaps
    with pytest.raises(Conflict) as nothing:
        lake.backfills.extend(run_id, owner="me")
    assert "extend.nothing" == nothing.value.code


def test_a_run_is_extended_again_and_again(lake: Lake) -> None:
    """Each extension starts from the newest; rolled back, the rows it filled are without a value again."""
    run_id = lake.stage("f", F)
    lake.promote(run_id)
    for first in (60, 66):
        lake.table().append(april(first))
        lake.backfills.extend(run_id, owner="me")
        lake.work()
    rows = same_in_both(lake)
    holds(rows, "f", rows["x"] * 2)
    assert "f@2" == lake.backfills.find("f@3").spec["extends"]
    lake.roll_back("f@3")
    rows = same_in_both(lake)
    holds(rows[:66], "f", rows["x"][:66] * 2)
    assert rows["f"][66:].isna().all()
    assert 6 == sum(gap.rows for gap in lake.backfills.coverage(run_id).gaps)


def test_a_window_goes_on_from_its_end(lake: Lake) -> None:
    """A run with an end is extended to another; the file in which it ended is filled on."""
    before = lake.rows()
    run_id = lake.stage("f", F, start="2024-01-01", end="2024-02-10")
    lake.promote(run_id)
    lake.backfills.extend(run_id, owner="me", to="2024-03-05")
    lake.work()
    assert "promoted" == lake.state("f@2")
    inside = before["ts"] < "2024-03-05"
    assert 0 < inside.sum() < 60
    holds(same_in_both(lake), "f", (before["x"] * 2).where(inside))


def test_a_compaction_does_not_hide_what_is_missing(lake: Lake) -> None:
    """Files that were merged with newer rows hold the column for some rows; whole files without it are still found."""
    run_id = lake.stage("f", F)
    lake.promote(run_id)
    lake.table().append(april(60))
    compact(lake)
    assert 6 == sum(gap.rows for gap in lake.backfills.coverage(run_id).gaps)
    lake.backfills.extend(run_id, owner="me")
    lake.work()
    rows = same_in_both(lake)
    holds(rows, "f", rows["x"] * 2)


def test_what_cannot_be_extended_is_refused(lake: Lake) -> None:
    """A run that is not promoted, and a body whose old values change with new rows."""
    run_id = lake.stage("f", F)
    with pytest.raises(Conflict) as early:
        lake.backfills.extend(run_id, owner="me")
    assert "backfill.state" == early.value.code
    whole = lake.stage("g", "select id, sum(x) over (partition by customer) as g from base")
    lake.promote(whole)
    lake.table().append(april(60))
    with pytest.raises(RequestError) as caught:
        lake.backfills.extend(whole, owner="me")
    assert "extend.whole" == caught.value.code


def test_what_was_extended_is_rolled_back_from_the_newest(lake: Lake) -> None:
    """The run that made the column is refused, naming the extension to roll back first."""
    before = lake.rows()
    run_id = lake.stage("f", F)
    lake.promote(run_id)
    lake.table().append(april(60))
    lake.backfills.extend(run_id, owner="me")
    lake.work()
    lake.backfills.step(run_id, Step.ROLLBACK, owner="me")
    error = lake.fail()
    assert ("rollback.built_on", True) == (error["code"], "f@2" in error["fix"])
    lake.roll_back("f@2")
    lake.roll_back(run_id)
    rows = lake.rows()
    assert OLD == list(rows.columns)
    pd.testing.assert_frame_equal(before, rows[:60])
