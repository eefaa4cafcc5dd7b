"""Comparing a run with another run, or with the column as it is in the table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nbplat.backfill.diff import Piece, compare_pieces, root_of
from nbplat.errors import Conflict, RequestError, SetupError
from tests.fixtures.lakehouse import Lake

FIRST = "select id, case when id % 5 = 0 then null else id * 1D end as f, tag as t from base"
SECOND = (
    "select id, case when id = 3 then null when id = 10 then 1D when id > 40 then id + 100D + id "
    "when id % 5 = 0 then null else id * 1D end as f, tag as t from base"
)


def piece(root: str, rows: pa.Table) -> Piece:
    return Piece(root, lambda columns: rows.select(list(columns)))


def test_two_runs_differ_by_what_was_changed(lake: Lake):
    """Changed, added and nulled rows are counted, the largest changes named by key, equal columns left alone."""
    first = lake.stage("first", FIRST)
    second = lake.stage("second", SECOND)

    report = lake.backfills.diff(second, first)

    f, t = report.columns
    changed = [n for n in range(41, 60) if n % 5]
    added = [10, *(n for n in range(41, 60) if n % 5 == 0)]
    assert (60, 0, 0) == (report.rows, report.only_before, report.only_after)
    assert (60, len(changed), len(added), 1) == (f.rows, f.changed, f.added, f.nulled)
    assert (pytest.approx(np.mean([100 + n for n in changed])), 159.0) == (f.mean_change, f.largest_change)
    assert [str(n) for n in sorted(changed, reverse=True)[:10]] == [each.key["id"] for each in f.examples]
    assert (0, 0, 0, ()) == (t.changed, t.added, t.nulled, t.examples)
    assert 1.0 == pytest.approx(sum(f.shares_before)) == pytest.approx(sum(f.shares_after))
    assert {"t0", "t1", "t2", "t3"} == set(t.bins)
    assert t.shares_before == t.shares_after


def test_a_run_is_compared_with_the_live_column(lake: Lake):
    """Against the table the old values come from the promoted files; rows appended since stand on one side only."""
    first = lake.stage("first", FIRST)
    second = lake.stage("second", SECOND)
    lake.promote(first)
    lake.table().append(lake.table().scan(row_filter="id < 3").to_arrow().set_column(0, "id", pa.array([90, 91, 92])))

    report = lake.backfills.diff(second)

    assert (60, 3, 0) == (report.rows, report.only_before, report.only_after)
    assert ("live shop.orders", second) == (report.before, report.after)
    assert (19 - 3, 4, 1) == (report.columns[0].changed, report.columns[0].added, report.columns[0].nulled)


def test_a_promoted_run_equals_its_live_column(lake: Lake):
    """What was published is what was staged."""
    run_id = lake.stage("first", FIRST)
    lake.promote(run_id)

    report = lake.backfills.diff(run_id, columns=("f",))

    assert [(60, 0, 0, 0)] == [(c.rows, c.changed, c.added, c.nulled) for c in report.columns]


def test_rows_in_other_files_are_matched_by_key():
    """A table that was compacted in between is compared row by row all the same."""
    rows = pa.table({"k": list(range(10)), "f": [float(n) for n in range(10)]})
    moved = pa.table({"k": [11, *range(9, -1, -1)], "f": [0.0, *(n + (n == 4) for n in range(9, -1, -1))]})
    before = [piece("a", rows.slice(0, 4)), piece("b", rows.slice(4))]
    after = [piece("b", moved.slice(0, 3)), piece("c", moved.slice(3))]

    both, only_before, only_after, [f] = compare_pieces(before, after, ["k"], {"f": "f"}, memory_bytes=1 << 20)

    assert (10, 0, 1) == (both, only_before, only_after)
    assert (1, 1.0, {"k": "4"}) == (f.changed, f.largest_change, f.examples[0].key)


def test_waiting_rows_are_bounded():
    """More rows in other files than memory holds is an error with a mend, not a crash."""
    rows = pa.table({"k": list(range(1000)), "f": [0.0] * 1000})

    with pytest.raises(SetupError) as refused:
        compare_pieces([piece("a", rows)], [piece("b", rows)], ["k"], {"f": "f"}, memory_bytes=100)

    assert "diff.memory" == refused.value.code


def test_nested_columns_are_compared_by_value(lake: Lake):
    """An embedding that moved in one element of one row is one changed row."""
    first = lake.stage("first", "select id, array(x, 1D) as e from base")
    second = lake.stage("second", "select id, array(x, case when id = 7 then 2D else 1D end) as e from base")

    [e] = lake.backfills.diff(second, first).columns

    assert (1, 0, 0, {"id": "7"}) == (e.changed, e.added, e.nulled, e.examples[0].key)


@pytest.mark.parametrize(
    ("sql", "options", "asked", "code"),
    [
        ("select id, x as g, tag as h from base", {}, {}, "diff.nothing"),
        ("select id, tag as f from base", {}, {}, "diff.types"),
        ("select id, ts, x as f from base", {"keys": ("id", "ts")}, {}, "diff.keys"),
        ("select id, x as f from base", {}, {"columns": ("ff",)}, "diff.column"),
    ],
)
def test_what_cannot_be_compared_is_refused(lake: Lake, sql: str, options: dict, asked: dict, code: str):
    """Other columns, types or keys are refused with a word on what to compare instead."""
    first = lake.stage("first", FIRST)
    second = lake.stage("second", sql, **options)

    with pytest.raises(RequestError) as refused:
        lake.backfills.diff(first, second, **asked)

    assert code == refused.value.code


def test_runs_of_two_tables_and_unstaged_runs_are_refused(lake: Lake):
    """A comparison needs two staged runs of one table, or a column in the table."""
    first = lake.stage("first", FIRST)
    events = lake.stage("events", "select at, amount as f from base", "shop.events")
    planned = lake.submit("later", "select id, 1D as f from base").run
    assert planned is not None

    for other, error, code in ((events, RequestError, "diff.tables"), (planned.id, Conflict, "backfill.not_staged")):
        with pytest.raises(error) as refused:
            lake.backfills.diff(first, other)
        assert code == refused.value.code
    with pytest.raises(RequestError) as refused:
        lake.backfills.diff(first)
    assert "diff.nothing" == refused.value.code


@pytest.mark.parametrize("path", ["file:///a/x.parquet", "file:///a/x--nb-f-1-3.parquet", "/a/x--nb-g-2-1.parquet"])
def test_a_spliced_file_goes_back_to_its_root(path: str):
    """The marks of promotions are taken off, the folder stays."""
    assert root_of(path).endswith("/a/x")
