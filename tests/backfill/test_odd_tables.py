"""Tables that other tools made: no field ids, Hive folders, two partition specs, deletes from before the plan."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from nbplat.adapters.iceberg.live import live_files
from nbplat.terms import TableName, local_path
from tests.backfill.test_landing import OLD, F, by_duckdb, holds, ours, same_in_both
from tests.fixtures.add_files import add_files_table, hive_table
from tests.fixtures.deletes import add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import Lake, small_rows

LOGS = "logs.days"


def paths(table: Table) -> list[Path]:
    return [local_path(file.path) for file in live_files(table, table.current_snapshot())]


def read(lake: Lake) -> pd.DataFrame:
    return lake.table(LOGS).scan().to_arrow().to_pandas().sort_values("id").reset_index(drop=True)


def test_files_without_field_ids_get_them(lake: Lake, tmp_path: Path) -> None:
    """After a promotion every column of the new files has its id, and all readers see the same values."""
    add_files_table(lake.catalog, LOGS, tmp_path / "in")
    before = read(lake)
    run_id = lake.stage("f", F, LOGS)
    lake.promote(run_id)
    rows = read(lake)
    pd.testing.assert_frame_equal(before, rows[list(before.columns)])
    holds(rows, "f", before["x"] * 2)
    for path in paths(lake.table(LOGS)):
        ids = [int((field.metadata or {})[b"PARQUET:field_id"]) for field in pq.read_schema(path)]
        assert [1, 2, 3, 4, 5] == ids
    frame = pd.concat([pq.ParquetFile(path).read().to_pandas() for path in paths(lake.table(LOGS))])
    pd.testing.assert_frame_equal(rows, frame.sort_values("id").reset_index(drop=True))
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, read(lake))


def test_a_second_run_and_a_roll_back_on_files_without_field_ids(lake: Lake, tmp_path: Path) -> None:
    """Staged on the files as they came in, promoted onto those that have ids by now, and rolled back alone."""
    add_files_table(lake.catalog, LOGS, tmp_path / "in")
    before = read(lake)
    first = lake.stage("f", F, LOGS)
    second = lake.stage("g", "select id, x + 1D as g from base", LOGS)
    lake.promote(first)
    lake.promote(second)
    lake.roll_back(first)
    rows = read(lake)
    assert [*before.columns, "g"] == list(rows.columns)
    holds(rows, "g", before["x"] + 1)


def test_a_hive_table_keeps_its_partition_column(lake: Lake, tmp_path: Path) -> None:
    """A column that is only in the folder's name reads as before, also after deletes made a file be rewritten."""
    table = hive_table(lake.catalog, LOGS, tmp_path / "in")
    before = read(lake)
    run_id = lake.stage("f", F, LOGS)
    add_position_deletes(table, f"file://{paths(table)[0]}", [2])
    lake.promote(run_id)
    rows = read(lake)
    expected = before[before["id"] != 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(expected, rows[list(before.columns)])
    holds(rows, "f", expected["x"] * 2)


def test_a_table_with_two_partition_specs(lake: Lake) -> None:
    """Every file keeps the spec it was written under; the staging table is unpartitioned, and the plan says so."""
    with lake.table().update_spec() as evolution:
        evolution.remove_field("bucket")
    lake.table().append(small_rows(70).slice(60))
    specs = {file.path: file.spec_id for file in lake.backfills.tables.live(TableName.parse("shop.orders")).files}
    assert 2 == len(set(specs.values()))
    submission = lake.submit("f", F)
    assert "the staging table is unpartitioned" in submission.plan.partitioning
    lake.work()
    assert 70 == len(lake.staged("f@1"))
    assert [] == list(lake.table(str(lake.backfills.find("f@1").outputs["staging_table"])).spec().fields)
    lake.promote("f@1")
    rows = same_in_both(lake)
    holds(rows, "f", rows["x"] * 2)
    after = lake.backfills.tables.live(TableName.parse("shop.orders")).files
    assert sorted(specs.values()) == sorted(file.spec_id for file in after)
    inside = lake.table().scan(row_filter="ts < '2024-02-01T00:00:00+00:00'").to_arrow()["id"].to_pylist()
    assert sorted(rows["id"][rows["ts"] < "2024-02-01"]) == sorted(inside)
    lake.roll_back("f@1")
    pd.testing.assert_frame_equal(rows[OLD], lake.rows())


@pytest.mark.parametrize("kind", ["position", "equality"])
def test_deletes_from_before_the_plan(lake: Lake, kind: str) -> None:
    """Rows that were deleted already are not staged; their files are rewritten without them, as the plan said."""
    table = lake.table()
    if kind == "position":
        add_position_deletes(table, f"file://{paths(table)[0]}", [0, 3])
    else:
        add_equality_deletes(table, ["id"], [{"id": 7}])
    before = ours(lake)
    submission = lake.submit("f", F)
    assert {"rewrite"} <= {unit.strategy for unit in submission.plan.units}
    lake.work()
    assert len(before) == len(lake.staged("f@1"))
    lake.promote("f@1")
    rows = same_in_both(lake)
    pd.testing.assert_frame_equal(before, rows[OLD])
    holds(rows, "f", before["x"] * 2)


def test_a_nested_column_is_promoted_and_rolled_back(lake: Lake) -> None:
    """Lists have ids of their own in the schema and in the files, and go again with their column."""
    before = lake.rows()
    run_id = lake.stage("e", "select id, array(customer * 2D, 1D) as e from base")
    lake.promote(run_id)
    rows = ours(lake)
    assert [[2.0 * customer, 1.0] for customer in before["customer"]] == [list(each) for each in rows["e"]]
    assert [list(each) for each in rows["e"]] == [list(each) for each in by_duckdb(lake)["e"]]
    field = lake.table().schema().find_field("e")
    ids = {path: (each.metadata or {})[b"PARQUET:field_id"] for path, each in _fields(paths(lake.table())[0])}
    assert {"e": field.field_id, "e.element": field.field_type.element_id} == {
        path: int(number) for path, number in ids.items() if path.startswith("e")
    }
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, lake.rows())


def _fields(path: Path) -> list[tuple[str, pa.Field]]:
    found = []
    for field in pq.read_schema(path):
        found.append((field.name, field))
        if pa.types.is_list(field.type):
            found.append((f"{field.name}.element", field.type.value_field))
    return found
