"""Joins of tables that Spark has written and changed, against Spark's own join of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from nbplat.adapters.iceberg.join_source import IcebergJoinSource
from nbplat.remote.tensors import as_tensors
from nbplat.training.join import JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS

_MERGE_ON_READ = ", ".join(f"'write.{verb}.mode'='merge-on-read'" for verb in ("delete", "update", "merge"))
_ROWS = (
    "SELECT {id}, IF(id % 13 = 0, NULL, concat('ä', id % 5)) AS part,"
    " TIMESTAMP '2026-11-01 23:30:00' + make_interval(0, 0, 0, 0, id % 48) AS at, {values} FROM range({span})"
)


@pytest.fixture(scope="module")
def tables(spark: SparkLab) -> SparkLab:
    """`sj.base` and `sj.staged`: rows of three days, columns and partitions that change, deletes beside the files."""
    run = spark.session.sql
    run("CREATE NAMESPACE IF NOT EXISTS sj")
    for name, columns, buckets in (
        ("base", "id INT, part STRING, at TIMESTAMP, x FLOAT, gone BIGINT", 4),
        ("staged", "id INT, part STRING, at TIMESTAMP, v INT, tags ARRAY<STRING>, d DECIMAL(9, 2)", 8),
    ):
        run(
            f"CREATE TABLE sj.{name} ({columns}) USING iceberg PARTITIONED BY (days(at), bucket({buckets}, id))"
            f" TBLPROPERTIES ('format-version'='2', {_MERGE_ON_READ}, 'write.parquet.row-group-size-bytes'='512')"
        )
    first = {"id": "CAST(id AS INT) AS id", "span": "0, 200"}
    run("INSERT INTO sj.base " + _ROWS.format(**first, values="CAST(id AS FLOAT) / 3, id"))
    staged = "IF(id % 4 = 0, NULL, CAST(id AS INT)), IF(id % 5 = 0, NULL, array('t', NULL, ''))"
    run("INSERT INTO sj.staged " + _ROWS.format(**first, values=f"{staged}, CAST(id AS DECIMAL(9, 2)) / 2"))
    for name, changes in (
        ("base", ("ALTER COLUMN id TYPE BIGINT", "ALTER COLUMN x TYPE DOUBLE", "RENAME COLUMN x TO y")),
        (
            "base",
            ("DROP COLUMN gone", "ADD COLUMN gone STRING", "REPLACE PARTITION FIELD id_bucket WITH bucket(2, id)"),
        ),
        ("staged", ("ALTER COLUMN id TYPE BIGINT", "ALTER COLUMN v TYPE BIGINT", "ALTER COLUMN d TYPE DECIMAL(20, 2)")),
        ("staged", ("RENAME COLUMN v TO w", "REPLACE PARTITION FIELD id_bucket WITH bucket(4, id)")),
    ):
        for change in changes:
            run(f"ALTER TABLE sj.{name} {change}")
    later = {"id": "id", "span": "200, 400"}
    run("INSERT INTO sj.base " + _ROWS.format(**later, values="CAST(id AS DOUBLE), concat('g', id)"))
    run("INSERT INTO sj.staged " + _ROWS.format(**later, values="id << 33, array(), CAST(id AS DECIMAL(20, 2))"))
    run("DELETE FROM sj.base WHERE id % 7 = 0")
    run("UPDATE sj.base SET y = -1 WHERE id % 11 = 0")
    run("DELETE FROM sj.staged WHERE id % 9 = 0")
    return spark


@pytest.mark.parametrize("max_unit_bytes", [1, 256 << 20])
@pytest.mark.parametrize("keys", [("id",), ("id", "part")], ids=len)
def test_tables_of_spark_join_as_spark_joins_them(tables: SparkLab, keys: tuple[str, ...], max_unit_bytes: int) -> None:
    """Promoted, renamed, dropped and added columns, other buckets, deletes and updates: the rows that Spark gives."""
    source = IcebergJoinSource(tables.served.embedded())
    stage = Stage("sj.staged", columns=("w", "tags", "d"))
    spec = JoinSpec("sj.base", on=keys, stage=(stage,), missing="null", max_unit_bytes=max_unit_bytes)
    plan = plan_join(spec, source, None)  # type: ignore[arg-type]
    assert {"merge"} == {side.how for unit in plan.units for side in unit.sides}
    with OpenJoin(plan, source, tensors=as_tensors, trees=None) as opened:  # type: ignore[arg-type]
        got = pa.Table.from_batches(opened.batches(64, shuffle="window", seed=1))
    on = " AND ".join(f"b.{key} = s.{key}" for key in keys)
    rows = tables.rows(
        "SELECT b.id, b.part, unix_micros(b.at) AS at, b.y, b.gone, s.w, s.tags, s.d FROM sj.base b"
        f" LEFT JOIN sj.staged s ON {on} AND to_date(b.at) = to_date(s.at)"
    )
    expected = sorted((tuple(row) for row in rows), key=repr)
    assert 342 == len(expected)
    times = got["at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    columns: Any = got.set_column(got.column_names.index("at"), "at", times).select(plan.output)
    names = ("id", "part", "at", "y", "gone", "w", "tags", "d")
    assert expected == sorted((tuple(row[name] for name in names) for row in columns.to_pylist()), key=repr)
