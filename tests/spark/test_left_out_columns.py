"""Spark with Iceberg on files that lost columns, took nested ones, or got their field ids by a splice."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType, FloatType, ListType, LongType, NestedField, StringType, StructType

from nbplat.terms import local_path
from tests.fixtures.spark import JVM_MARKS, SparkLab
from tests.parquet.test_drop import write
from tests.parquet.test_iceberg_read import SPLICER, aligned, data_file, swap

pytestmark = JVM_MARKS

ROWS = 3000


@pytest.mark.parametrize("bare", [False, True], ids=["with field ids", "taken in by name"])
def test_spark_reads_what_is_left_and_what_came(spark: SparkLab, tmp_path: Path, bare: bool) -> None:
    """A dropped column whose name was taken again, an embedding and a struct: vectorised and not, in many splits."""
    catalog, name = spark.served.embedded(), f"shop.left_{uuid.uuid4().hex[:8]}"
    catalog.create_namespace_if_not_exists("shop")
    rows = pa.table({"id": range(ROWS), "x": [f"old {n}" for n in range(ROWS)], "y": [n * 0.5 for n in range(ROWS)]})
    table = catalog.create_table(name, rows.schema)
    groups = [ROWS // 3] * 3
    if bare:
        table.add_files([str(write(tmp_path / "base.parquet", rows, groups))])
    else:
        table.append(rows)
        groups = list(SPLICER.layout(data_file(table).file_path).group_rows)
    mapping = {(field.name,): field.field_id for field in table.schema().fields}
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("x")
    with table.update_schema() as update:
        update.add_column("x", DoubleType())
        update.add_column("e", ListType(0, FloatType(), element_required=False))
        update.add_column("s", StructType(NestedField(0, "n", LongType()), NestedField(1, "t", StringType())))
    values = {
        "x": [None if n % 7 == 0 else n / 4 for n in range(ROWS)],
        "e": [None if n % 5 == 0 else [n / 2, None, 1.0][: n % 4] for n in range(ROWS)],
        "s": [None if n % 3 == 0 else {"n": n, "t": f"t{n}"} for n in range(ROWS)],
    }
    base = data_file(table).file_path
    out = f"file://{local_path(base)}--nb-left-1-1.parquet"
    addition = aligned(table, values, tmp_path / "new.parquet", groups)
    SPLICER.splice(base, [addition], out, drop={mapping["x",]}, name_ids=mapping)
    swap(table, out)

    for vectorised in ("true", "false"):
        for split in ("134217728", "4096"):
            read = f"nbplat.{name}"
            frame = (
                spark.session.read.option("vectorization-enabled", vectorised).option("split-size", split).table(read)
            )
            found = frame.orderBy("id").select("id", "y", "x", "e", "s").collect()
            assert list(range(ROWS)) == [row["id"] for row in found]
            assert rows["y"].to_pylist() == [row["y"] for row in found]
            assert values["x"] == [row["x"] for row in found]
            assert values["e"] == [row["e"] for row in found]
            assert values["s"] == [row["s"].asDict() if row["s"] else None for row in found]
            big = frame.where("x > 700 and y < 1450").orderBy("id").select("id").collect()
            expected = [n for n in range(ROWS) if n % 7 and n / 4 > 700 and n * 0.5 < 1450]
            assert expected == [row["id"] for row in big]
