"""Promotions onto tables that others made or deleted from, read by Spark with Iceberg."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from nbplat.adapters.iceberg.live import live_files
from tests.fixtures.add_files import add_files_table, hive_table
from tests.fixtures.deletes import add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import Lake, small_rows
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS

F = "select id, x * 2D as f from base"


@pytest.fixture
def lake(spark: SparkLab) -> Iterator[Lake]:
    lake = Lake(spark.served.config.home)
    yield lake
    lake.close()


def a_name() -> tuple[str, str]:
    """Of a table and of a run, the test's own."""
    own = uuid.uuid4().hex[:8]
    return f"odd_{own}.days", f"f_{own}"


def by_spark(spark: SparkLab, name: str, vectorised: bool = True) -> pd.DataFrame:
    reader = spark.session.read.option("vectorization-enabled", str(vectorised).lower())
    return reader.table(name).toPandas().sort_values("id").reset_index(drop=True)


def check(spark: SparkLab, name: str, run_id: str, before: pd.DataFrame) -> None:
    """Spark sees what it saw before, and the feature beside it, however it reads."""
    column = run_id.split("@")[0]
    for vectorised in (True, False):
        rows = by_spark(spark, name, vectorised)
        pd.testing.assert_frame_equal(before, rows[list(before.columns)])
        pd.testing.assert_series_equal(before["x"] * 2, rows[column], check_names=False)
    wanted = sorted(before["id"][before["x"] * 2 > 10])
    assert wanted == sorted(row[0] for row in spark.rows(f"SELECT id FROM {name} WHERE {column} > 10"))


@pytest.mark.parametrize("make", [add_files_table, hive_table])
def test_files_that_were_taken_in(lake: Lake, spark: SparkLab, tmp_path: Path, make: Callable[..., object]) -> None:
    """Files without field ids, and files without their partition column, are right in Spark after a promotion."""
    name, column = a_name()
    make(lake.catalog, name, tmp_path / "in")
    before = by_spark(spark, name)
    run_id = lake.stage(column, F.replace(" as f ", f" as {column} "), name)
    lake.promote(run_id)
    check(spark, name, run_id, before)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, by_spark(spark, name))


def test_two_partition_specs(lake: Lake, spark: SparkLab) -> None:
    """Files under an older spec and under the present one are right in Spark after a promotion."""
    name, column = a_name()
    lake.make(name, small_rows(60))
    with lake.table(name).update_spec() as evolution:
        evolution.remove_field("bucket")
    lake.table(name).append(small_rows(70).slice(60))
    before = by_spark(spark, name)
    run_id = lake.stage(column, F.replace(" as f ", f" as {column} "), name)
    lake.promote(run_id)
    check(spark, name, run_id, before)
    january = f"SELECT count(*) FROM {name} WHERE ts < TIMESTAMP '2024-02-01 00:00:00'"
    assert int((before["ts"] < pd.Timestamp("2024-02-01")).sum()) == spark.rows(january)[0][0]


@pytest.mark.parametrize("kind", ["position", "equality"])
def test_deletes_between_stage_and_publish(lake: Lake, spark: SparkLab, kind: str) -> None:
    """Rows that were deleted while the run waited stay deleted in Spark, before and after the roll back."""
    name, column = a_name()
    table = lake.make(name, small_rows(60))
    run_id = lake.stage(column, F.replace(" as f ", f" as {column} "), name)
    if kind == "position":
        add_position_deletes(table, live_files(table, table.current_snapshot())[0].path, [0, 3])
    else:
        add_equality_deletes(table, ["id"], [{"id": 7}, {"id": 31}])
    before = by_spark(spark, name)
    assert 58 == len(before)
    lake.promote(run_id)
    check(spark, name, run_id, before)
    lake.roll_back(run_id)
    pd.testing.assert_frame_equal(before, by_spark(spark, name))
