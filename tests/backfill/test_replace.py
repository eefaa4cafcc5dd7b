"""Computing an existing column again, and taking that back."""

from __future__ import annotations

import pandas as pd
import pytest

from nbplat.backfill.states import Step
from nbplat.errors import RequestError
from nbplat.terms import TableName
from tests.backfill.test_landing import OLD, actions, compact, holds, live, ours, same_in_both
from tests.fixtures.deletes import add_position_deletes
from tests.fixtures.lakehouse import Lake

X = "select id, customer * 10D as x from base"
G = "select id, customer + 1 as g from base"


def test_a_replaced_column_keeps_its_place_and_id(lake: Lake) -> None:
    """The values are new, the schema is the same object, and the files hold the column once."""
    before, schema = lake.rows(), lake.table().schema()
    run_id = lake.stage("x2", X, replace=["x"])
    lake.promote(run_id)
    rows = same_in_both(lake)
    holds(rows, "x", before["customer"] * 10.0)
    rest = ["id", "customer", "ts", "tag"]
    pd.testing.assert_frame_equal(before[rest], rows[rest])
    assert (schema, schema.schema_id) == (lake.table().schema(), lake.table().schema().schema_id)
    assert {"splice": 6} == actions(lake, run_id)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, same_in_both(lake))


def test_outside_its_window_a_replaced_column_keeps_its_values(lake: Lake) -> None:
    """Rows of other months read as before."""
    before = lake.rows()
    run_id = lake.stage("x2", X, replace=["x"], start="2024-02-05", end="2024-03-01")
    lake.promote(run_id)
    inside = (before["ts"] >= "2024-02-05") & (before["ts"] < "2024-03-01")
    assert 0 < inside.sum() < (before["ts"].dt.month == 2).sum()
    holds(same_in_both(lake), "x", before["x"].where(~inside, before["customer"] * 10.0))
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_a_replacement_is_rolled_back_under_another_run(lake: Lake) -> None:
    """The old values come back into files that a second run was spliced onto, and its column stays."""
    before = lake.rows()
    first, second = lake.stage("x2", X, replace=["x"]), lake.stage("g", G)
    lake.promote(first)
    lake.promote(second)
    lake.roll_back(first)
    rows = same_in_both(lake)
    pd.testing.assert_frame_equal(before, rows[OLD])
    assert (before["customer"] + 1).tolist() == rows["g"].tolist()
    assert {"splice": 6} == actions(lake, first, "undoing")
    lake.roll_back(second)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_a_replacement_of_a_train_is_rolled_back_alone(lake: Lake) -> None:
    """A new column and a replaced one come in one commit; each goes alone."""
    before = lake.rows()
    runs = [lake.stage("g", G), lake.stage("x2", X, replace=["x"])]
    lake.backfills.promote_train(runs, owner="me")
    lake.work()
    holds(same_in_both(lake), "x", before["customer"] * 10.0)
    lake.roll_back(runs[1])
    rows = same_in_both(lake)
    pd.testing.assert_frame_equal(before, rows[OLD])
    assert (before["customer"] + 1).tolist() == rows["g"].tolist()


def test_old_values_are_put_back_by_key_after_a_compaction(lake: Lake) -> None:
    """Rows that others have moved since get their old values where they are now."""
    before = lake.rows()
    run_id = lake.stage("x2", X, replace=["x"])
    lake.promote(run_id)
    compact(lake)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, same_in_both(lake))


@pytest.mark.parametrize("deleted", [False, True])
def test_moved_files_without_a_row_of_the_run_keep_their_values(lake: Lake, deleted: bool) -> None:
    """Of a column that is replaced for one month only, the files of other months keep theirs after a compaction."""
    run_id = lake.stage("x2", X, replace=["x"], start="2024-02-01", end="2024-03-01")
    compact(lake)
    if deleted:
        add_position_deletes(lake.table(), live(lake)[0], [0])
    before = ours(lake)
    lake.promote(run_id)
    rows = ours(lake)
    inside = before["ts"].dt.month == 2
    holds(rows, "x", before["x"].where(~inside, before["customer"] * 10.0))
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, ours(lake))


def test_rows_deleted_since_stay_deleted_when_old_values_come_back(lake: Lake) -> None:
    """A file that deletes apply to is rewritten with them applied and the old values in."""
    before = lake.rows()
    run_id = lake.stage("x2", X, replace=["x"])
    lake.promote(run_id)
    path = live(lake)[0]
    gone = lake.backfills.tables.read(
        lake.backfills.publisher.view(lake.backfills.tables.describe(TableName.parse("shop.orders")).pin).pin,
        ["id"],
        paths=[path],
    )
    add_position_deletes(lake.table(), path, [0])
    lake.roll_back(run_id)
    expected = before[before["id"] != gone["id"][0].as_py()].reset_index(drop=True)
    pd.testing.assert_frame_equal(expected, ours(lake))


def test_the_lower_of_two_replacements_is_not_rolled_back_under_the_upper(lake: Lake) -> None:
    """It names the run to roll back first; in order both can, and the first values come back."""
    before = lake.rows()
    first = lake.stage("x2", X, replace=["x"])
    lake.promote(first)
    second = lake.stage("x3", "select id, x + 1D as x from base", replace=["x"])
    lake.promote(second)
    holds(same_in_both(lake), "x", before["customer"] * 10.0 + 1)
    lake.backfills.step(first, Step.ROLLBACK, owner="me")
    error = lake.fail()
    assert ("rollback.built_on", True) == (error["code"], second in error["fix"])
    lake.roll_back(second)
    lake.roll_back(first)
    pd.testing.assert_frame_equal(before, lake.rows())


def test_a_column_dropped_meanwhile_is_not_filled(lake: Lake) -> None:
    """Values for a column that somebody else dropped are refused, and nothing changes."""
    run_id = lake.stage("x2", X, replace=["x"])
    with lake.table().update_schema() as update:
        update.delete_column("x")
    with pytest.raises(RequestError) as caught:
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "column.dropped" == caught.value.code
    assert {"main"} == set(lake.table().metadata.refs)


@pytest.mark.parametrize(
    ("sql", "names", "code"),
    [
        (X, ["y"], "replace.unknown"),
        ("select id, customer + 1 as customer from base", ["x", "customer"], "replace.body"),
        ("select id, 'a' as x from base", ["x"], "replace.type"),
        ("select id, ts from base", ["ts"], "replace.partition"),
        (X, [], "column.exists"),
    ],
)
def test_a_replacement_that_cannot_be_is_refused(lake: Lake, sql: str, names: list[str], code: str) -> None:
    """Unknown columns, columns the body does not make, other types, partition sources; before any effect."""
    before = lake.picture()
    with pytest.raises(RequestError) as caught:
        lake.submit("x2", sql, replace=names, keys=["id"])
    assert code == caught.value.code
    assert before == lake.picture()
