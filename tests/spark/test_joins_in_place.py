"""Joins along the storage's partitions, by the settings of our sessions: without a shuffle, and every row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyiceberg.types import DateType, DoubleType, LongType

from nbplat.adapters.spark.session import SparkSettings
from tests.fixtures.spark import JVM_MARKS, SparkLab
from tests.training.join_tables import make_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = JVM_MARKS

DAYS, IDS = 3, 50


@pytest.fixture(scope="module")
def session(spark: SparkLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session with what ours set for joins, nothing broadcast; `t` has each of 50 ids on three days."""
    rows = [{"id": n % IDS, "dt": dt.date(2026, 1, 1 + n // IDS), "x": float(n)} for n in range(DAYS * IDS)]
    catalog = spark.served.embedded()
    columns = [("id", LongType()), ("dt", DateType()), ("x", DoubleType())]
    make_table(catalog, "in_place.t", columns, [rows], bucket=("id", 4), by="dt")
    settings = SparkSettings("local[2]", tmp_path_factory.mktemp("in_place"), 1 << 30, iceberg_jar=Path("iceberg.jar"))
    session = spark.session.newSession()
    for name, value in settings.values().items():
        if "bucketing" in name or "CoPartition" in name or "data-grouping" in name:
            session.conf.set(name, value)
    session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    session.table("in_place.t").createOrReplaceTempView("t")
    yield session
    catalog.drop_table("in_place.t")


def _exchanges(frame: DataFrame) -> int:
    return str(frame._jdf.queryExecution().executedPlan().toString()).count("Exchange")


def test_tables_joined_by_all_their_partition_keys_move_nothing(session: SparkSession) -> None:
    """Two joins, one after the other, by date and id."""
    on = "ON {0}.id = a.id AND {0}.dt = a.dt"
    frame = session.sql(
        f"SELECT a.id, a.dt, a.x, b.x, c.x FROM t a LEFT JOIN t b {on.format('b')} LEFT JOIN t c {on.format('c')}"
    )
    assert (0, DAYS * IDS) == (_exchanges(frame), frame.toArrow().num_rows)


def test_tables_joined_by_a_part_of_them_lose_no_row(session: SparkSession) -> None:
    """By id alone, with the date of the first table in the result: Spark 4.1 would give none, had we let it."""
    frame = session.sql(
        "SELECT a.id, a.dt, a.x, b.x, c.x FROM t a LEFT JOIN t b ON b.id = a.id LEFT JOIN t c ON c.id = a.id"
    )
    assert DAYS * IDS * DAYS * DAYS == frame.toArrow().num_rows
    assert "false" == session.conf.get("spark.sql.sources.v2.bucketing.allowJoinKeysSubsetOfPartitionKeys.enabled")
