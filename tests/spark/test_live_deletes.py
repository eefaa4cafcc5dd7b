"""Delete files that Spark writes: our live rows are Spark's."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
from pyiceberg.types import BooleanType, DateType, DecimalType, LongType, StringType

from nbplat.adapters.iceberg.live import DeleteKind, live_files
from nbplat.adapters.iceberg.tables import IcebergTables
from nbplat.terms import TableName
from tests.fixtures.deletes import add_equality_deletes
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS

_MERGE_ON_READ = ", ".join(f"'write.{verb}.mode'='merge-on-read'" for verb in ("delete", "update", "merge"))


def made(spark: SparkLab, name: str, version: int, extra: str = "") -> None:
    """300 rows in three buckets of a merge-on-read table, then a DELETE, an UPDATE and a MERGE."""
    spark.session.sql("CREATE NAMESPACE IF NOT EXISTS live")
    spark.session.sql(
        f"CREATE TABLE {name} (id BIGINT, tag STRING, x DOUBLE) USING iceberg PARTITIONED BY (bucket(3, id)) "
        f"TBLPROPERTIES ('format-version'='{version}', {_MERGE_ON_READ}{extra})"
    )
    spark.session.sql(f"INSERT INTO {name} SELECT id, concat('t', id % 5), id / 4 FROM range(300)")
    spark.session.sql(f"INSERT INTO {name} SELECT id, concat('t', id % 5), id / 4 FROM range(300, 400)")
    spark.session.sql(f"DELETE FROM {name} WHERE tag = 't3' AND id > 20")
    spark.session.sql(f"UPDATE {name} SET x = -1 WHERE id % 50 = 1")
    spark.session.sql(
        f"MERGE INTO {name} t USING (SELECT id * 10 AS id FROM range(50)) s ON t.id = s.id "
        "WHEN MATCHED AND t.id > 300 THEN DELETE WHEN MATCHED THEN UPDATE SET tag = 'merged' "
        "WHEN NOT MATCHED THEN INSERT (id, tag, x) VALUES (s.id, 'new', 0.0)"
    )


def kinds(spark: SparkLab, name: str) -> set[DeleteKind]:
    with spark.served.embedded() as catalog:
        table = catalog.load_table(name)
        return {delete.kind for live in live_files(table, table.current_snapshot()) for delete in live.deletes}


def assert_same_rows(spark: SparkLab, name: str, columns: str = "id, tag, x") -> None:
    names = columns.split(", ")
    expected = sorted(tuple(row) for row in spark.rows(f"SELECT {columns} FROM {name}"))
    with spark.served.embedded() as catalog:
        tables = IcebergTables(catalog)
        pin = tables.describe(TableName.parse(name)).pin
        rows = tables.read(pin, names)
        reads = tables.reads(pin, [file.path for file in tables.files(pin)])

    assert expected == sorted(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    assert len(expected) == sum(read.rows - len(read.deleted) // 8 for read in reads)
    assert any(read.deleted for read in reads)


def test_position_deletes_of_spark(spark: SparkLab) -> None:
    """A v2 merge-on-read table after DELETE, UPDATE and MERGE reads as in Spark."""
    made(spark, "live.positions", 2)

    assert {DeleteKind.POSITION} == kinds(spark, "live.positions")
    assert_same_rows(spark, "live.positions")


def test_shared_position_deletes_of_spark(spark: SparkLab) -> None:
    """Position delete files that Spark writes per partition, about several data files, read as in Spark."""
    made(spark, "live.shared", 2, ", 'write.delete.granularity'='partition'")

    assert {DeleteKind.POSITION} == kinds(spark, "live.shared")
    assert_same_rows(spark, "live.shared")


def test_deletion_vectors_of_spark(spark: SparkLab) -> None:
    """A v3 merge-on-read table, whose deletes are vectors in Puffin files, reads as in Spark."""
    made(spark, "live.vectors", 3)

    assert {DeleteKind.VECTOR} == kinds(spark, "live.vectors")
    assert_same_rows(spark, "live.vectors")


def test_equality_deletes_as_spark_reads_them(spark: SparkLab) -> None:
    """Equality deletes over the whole table and in one partition, with null, NaN and -0.0, remove what Spark misses."""
    name = "live.equality"
    spark.session.sql("CREATE NAMESPACE IF NOT EXISTS live")
    spark.session.sql(f"CREATE TABLE {name} (id BIGINT, tag STRING, x DOUBLE) USING iceberg PARTITIONED BY (tag)")
    xs = ("1.5D", "NULL", "double('NaN')", "0.0D", "-0.0D", "2.0D")
    rows = [(tag, x) for tag in ("'a'", "'b'", "NULL") for x in xs]
    values = ", ".join(f"({n}, {tag}, {x})" for n, (tag, x) in enumerate(rows))
    spark.session.sql(f"INSERT INTO {name} VALUES {values}")
    with spark.served.embedded() as catalog:
        table = catalog.load_table(name)
        in_a = next(task.file.file_path for task in table.scan(row_filter="tag == 'a'").plan_files())
        add_equality_deletes(table, ["x"], [{"x": 1.5}, {"x": 2.0}], partition=in_a)
        deletes = [{"x": float("nan"), "tag": "b"}, {"x": -0.0, "tag": "b"}, {"x": None, "tag": None}]
        add_equality_deletes(catalog.load_table(name), ["x", "tag"], deletes)
    spark.session.sql(f"INSERT INTO {name} VALUES (100, 'a', 1.5D), (101, NULL, NULL)")

    assert {DeleteKind.EQUALITY} == kinds(spark, name)
    assert {*range(18), 100, 101} - {0, 5, 8, 10, 13} == {row.id for row in spark.rows(f"SELECT id FROM {name}")}
    assert_same_rows(spark, name, "id")


def test_defaults_of_columns_added_later(spark: SparkLab) -> None:
    """On v3, files older than a column with a default read as that default: by us, by Spark, and from `reads`."""
    name = "live.defaults"
    defaults = {
        "n": (LongType(), 7),
        "ok": (BooleanType(), True),
        "word": (StringType(), "none"),
        "day": (DateType(), dt.date(2024, 2, 29)),
        "price": (DecimalType(9, 2), Decimal("1.25")),
    }
    spark.session.sql("CREATE NAMESPACE IF NOT EXISTS live")
    spark.session.sql(f"CREATE TABLE {name} (id BIGINT) USING iceberg TBLPROPERTIES ('format-version'='3')")
    spark.session.sql(f"INSERT INTO {name} VALUES (1), (2)")
    with spark.served.client().load_table(name).update_schema() as update:
        for column, (kind, value) in defaults.items():
            update.add_column(column, kind, default_value=value)
    with spark.served.embedded() as catalog:
        tables = IcebergTables(catalog)
        pin = tables.describe(TableName.parse(name)).pin
        rows = tables.read(pin, list(defaults))
        schema = tables.schema(pin, list(defaults))
        read, *_ = tables.reads(pin, [file.path for file in tables.files(pin)])
    spark.session.sql(f"REFRESH TABLE {name}")

    expected = {column: value for column, (_, value) in defaults.items()}
    assert [expected] * 2 == [row.asDict() for row in spark.rows(f"SELECT {', '.join(defaults)} FROM {name}")]
    assert [expected] * 2 == rows.to_pylist()
    assert expected == {n: pa.scalar(read.constants[n], schema.field(n).type).as_py() for n in defaults}
