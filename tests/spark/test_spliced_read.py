"""What a promotion by splice leaves behind, read and worked on by Spark with Iceberg; our engine against Spark."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.adapters.duckdb.engine import DuckDBEngine
from nbplat.backfill.body import BASE, bind_body, engine_name, parse_body
from nbplat.backfill.dialect import to_duckdb
from nbplat.backfill.types import spark_type
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake, small_rows
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS

TRAIN, EVENTS = "retail.train", "retail.events"
SPEND = """
SELECT base.example_id, coalesce(sum(e.amount), 0) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON  e.customer_id = base.customer_id AND e.event_type = 'purchase'
  AND e.event_ts <  base.label_ts
  AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id
"""
SHARES = """
WITH past AS (
  SELECT customer_id, event_ts, amount, if(event_type = 'cancel', 1, 0) AS cancelled
  FROM retail.events WHERE amount IS NOT NULL
)
SELECT b.example_id,
  count(p.amount) AS lines,
  sum(p.cancelled) / nullif(count(p.amount), 0) AS cancel_share,
  avg(p.amount) AS mean_amount,
  round(max(p.amount) * 1.175D, 1) AS top_amount,
  datediff(b.label_ts, max(p.event_ts)) AS days_since,
  CASE WHEN max(p.amount) > 100 THEN 'large' WHEN count(p.amount) = 0 THEN 'none' ELSE 'small' END AS size
FROM base b LEFT JOIN past p ON p.customer_id = b.customer_id AND p.event_ts < b.label_ts
GROUP BY b.example_id, b.label_ts
"""
VISITS = """
SELECT example_id,
  row_number() OVER (PARTITION BY customer_id ORDER BY label_ts, example_id) AS visit,
  lag(basket_value, 1, 0.0D) OVER (PARTITION BY customer_id ORDER BY label_ts, example_id) AS last_basket,
  sum(basket_lines) OVER (PARTITION BY customer_id ORDER BY label_ts, example_id) AS lines_so_far,
  timestampdiff(HOUR, min(label_ts) OVER (PARTITION BY customer_id), label_ts) AS hours_known
FROM base
"""


@dataclass(frozen=True)
class Promoted:
    """The retail demo on the catalog that Spark is on, with `spend_90d` promoted.

    Attributes:
        before: Snapshot of the table before the promotion.
        rows: The promoted table, read by pyiceberg, by example.
    """

    lake: Lake
    run_id: str
    before: int
    rows: pa.Table


def by_python(lake: Lake, table: str, key: str) -> pa.Table:
    return lake.table(table).scan().to_arrow().sort_by(key)


def by_spark(frame: Any, like: pa.Table, key: str) -> pa.Table:
    """A Spark frame as Arrow, with the column order and the types' spelling of `like`."""
    return frame.toArrow().select(like.column_names).cast(like.schema).sort_by(key)


def current(lake: Lake, table: str) -> int:
    snapshot = lake.table(table).current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


@pytest.fixture(scope="module")
def promoted(spark: SparkLab) -> Iterator[Promoted]:
    lake = Lake(spark.served.config.home)
    lake.platform.load_demo()
    before = current(lake, TRAIN)
    run_id = lake.stage("spend_90d", SPEND, TRAIN)
    lake.promote(run_id)
    yield Promoted(lake, run_id, before, by_python(lake, TRAIN, "example_id"))
    lake.close()


@pytest.fixture
def orders(spark: SparkLab) -> Iterator[tuple[Lake, str, str]]:
    """A small table of the test's own with `twice` promoted: its lake, its name, its run."""
    lake = Lake(spark.served.config.home)
    name = f"shop_{uuid.uuid4().hex[:12]}.orders"
    lake.make(name, small_rows(60))
    run_id = lake.stage(f"twice_{uuid.uuid4().hex[:6]}", "select id, x * 2D as twice from base", name)
    lake.promote(run_id)
    yield lake, name, run_id
    lake.close()


@pytest.mark.parametrize("vectorised", ["true", "false"])
@pytest.mark.parametrize("split_bytes", [None, 512])
def test_spark_reads_what_python_reads(
    spark: SparkLab, promoted: Promoted, vectorised: str, split_bytes: int | None
) -> None:
    """The spliced table is read value for value, by both of Iceberg's readers, whole and in tiny splits."""
    reader = spark.session.read.option("vectorization-enabled", vectorised)
    if split_bytes:
        reader = reader.option("split-size", split_bytes).option("file-open-cost", 1)
    frame = reader.table(TRAIN)
    assert promoted.rows.equals(by_spark(frame, promoted.rows, "example_id"))
    assert "spend_90d" == frame.columns[-1]


@pytest.mark.parametrize("vectorised", ["true", "false"])
@pytest.mark.parametrize(
    "predicate",
    ["spend_90d > 1000", "spend_90d = 0", "basket_value > 500", "spend_90d > 200 and basket_value < 100", "is_uk = 0"],
)
def test_predicates_skip_no_row(spark: SparkLab, promoted: Promoted, vectorised: str, predicate: str) -> None:
    """Filters pushed down to row groups and pages find the same rows on the old columns and on the new one."""
    frame = promoted.rows.to_pandas()
    expected = frame.query(predicate.replace(" = ", " == "))["example_id"].tolist()
    reader = spark.session.read.option("vectorization-enabled", vectorised)
    found = [row.example_id for row in reader.table(TRAIN).where(predicate).select("example_id").collect()]
    assert 0 < len(expected) < len(frame)
    assert expected == sorted(found)


def test_spark_aggregates_over_the_new_column_alone(spark: SparkLab, promoted: Promoted) -> None:
    """A projection of only the appended column reads it, with its nulls, without the others."""
    [row] = spark.rows(f"select count(*) as n, count(spend_90d) as m, max(spend_90d) as top from {TRAIN}")
    column = promoted.rows["spend_90d"]
    assert (len(column), len(column) - column.null_count, max(column.to_pylist())) == (row.n, row.m, row.top)


def test_time_travel_to_before_shows_no_column(spark: SparkLab, promoted: Promoted) -> None:
    """The snapshot before the promotion has the table's old columns and values."""
    names = [name for name in promoted.rows.column_names if name != "spend_90d"]
    frame = spark.session.sql(f"select * from {TRAIN} version as of {promoted.before}")
    assert names == frame.columns
    old = promoted.rows.select(names)
    assert old.equals(by_spark(frame, old, "example_id"))


@pytest.mark.parametrize("sql", [SPEND, SHARES, VISITS], ids=["spend", "shares", "visits"])
def test_a_feature_is_what_spark_makes_of_the_same_text(
    spark: SparkLab, promoted: Promoted, tmp_path: Path, sql: str
) -> None:
    """The same SQL over the same tables, by our local engine and by Spark itself: same types, same values."""
    tables = {name: promoted.lake.table(table).scan().to_arrow() for name, table in ((BASE, TRAIN), (EVENTS, EVENTS))}
    types = {
        name: {field.name: spark_type(str(field.field_type)) for field in promoted.lake.table(table).schema().fields}
        for name, table in ((BASE, TRAIN), (EVENTS, EVENTS))
    }
    bound = bind_body(parse_body(sql), types, ("example_id",))
    assert (sql != VISITS) == (bound.row_wise or sql == SHARES)
    engine = DuckDBEngine(threads=1, memory_bytes=512 << 20, spill_folder=str(tmp_path))
    query = to_duckdb(bound.sql, types)
    found = engine.run(query, {engine_name(name): table for name, table in tables.items()}).sort_by("example_id")
    spark.session.table(TRAIN).createOrReplaceTempView(BASE)
    try:
        expected = spark.session.sql(sql).toArrow().sort_by("example_id")
    finally:
        spark.session.catalog.dropTempView(BASE)
    assert expected.schema.names == found.schema.names
    assert [str(field.type) for field in expected.schema] == [str(field.type) for field in found.schema]
    for name in expected.column_names:
        if pa.types.is_floating(expected[name].type):
            assert expected[name].is_null().equals(found[name].is_null()), name
            # A purchase and its cancellation cancel out, down to the last bits of either order of additions.
            np.testing.assert_allclose(
                expected[name].to_numpy(), found[name].to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name
            )
        else:
            assert expected[name].to_pylist() == found[name].to_pylist(), name


def test_the_staged_column_is_what_spark_makes_of_it(spark: SparkLab, promoted: Promoted) -> None:
    """The column that was staged file by file and promoted is Spark's result of the body."""
    frame = spark.session.sql(f"select * from {TRAIN} version as of {promoted.before}")
    frame.createOrReplaceTempView(BASE)
    try:
        expected = spark.session.sql(SPEND).toArrow().sort_by("example_id")
    finally:
        spark.session.catalog.dropTempView(BASE)
    assert expected["example_id"].to_pylist() == promoted.rows["example_id"].to_pylist()
    np.testing.assert_allclose(
        expected["spend_90d"].to_numpy(), promoted.rows["spend_90d"].to_numpy(), rtol=1e-9, atol=1e-9
    )


def test_spark_compacts_spliced_files(spark: SparkLab, orders: tuple[Lake, str, str]) -> None:
    """`rewrite_data_files` reads every spliced file and writes the same rows."""
    lake, name, _ = orders
    rows = by_python(lake, name, "id")
    files = {task.file.file_path for task in lake.table(name).scan().plan_files()}
    [done] = spark.rows(f"call nbplat.system.rewrite_data_files('{name}', options => map('rewrite-all', 'true'))")
    after = {task.file.file_path for task in lake.table(name).scan().plan_files()}
    assert len(files) == done.rewritten_data_files_count
    assert set() == files & after
    assert rows.equals(by_python(lake, name, "id"))


def test_spark_merges_into_spliced_files(spark: SparkLab, orders: tuple[Lake, str, str]) -> None:
    """MERGE updates and inserts the new column; DELETE takes rows of spliced files."""
    lake, name, _ = orders
    expected = {row["id"]: row["twice"] for row in by_python(lake, name, "id").to_pylist()}
    spark.session.sql(
        f"merge into {name} t using (select 7L as id, 99.5D as twice union all select 1000L, 1.0D) s on t.id = s.id "
        "when matched then update set twice = s.twice when not matched then insert (id, twice) values (s.id, s.twice)"
    )
    spark.session.sql(f"delete from {name} where id = 8")
    expected |= {7: 99.5, 1000: 1.0}
    del expected[8]
    assert expected == {row["id"]: row["twice"] for row in by_python(lake, name, "id").to_pylist()}
    assert expected == {row.id: row.twice for row in spark.rows(f"select id, twice from {name}")}


def test_after_roll_back_spark_reads_as_before(spark: SparkLab, orders: tuple[Lake, str, str]) -> None:
    """The rolled-back table has its old columns, rows and files for Spark as well; the promotion stays in history."""
    lake, name, run_id = orders
    published = current(lake, name)
    assert "twice" in spark.session.table(name).columns
    lake.roll_back(run_id)
    spark.session.sql(f"refresh table {name}")
    frame = spark.session.table(name)
    old = small_rows(60).sort_by("id")
    assert old.column_names == frame.columns
    assert old.equals(by_spark(frame, old, "id"))
    assert "twice" in spark.session.sql(f"select * from {name} version as of {published}").columns
    assert all(local_path(task.file.file_path).exists() for task in lake.table(name).scan().plan_files())
