"""What the port tells a worker is enough: the worker's own reader gives the rows that the port reads."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from nbplat.adapters.iceberg.tables import IcebergTables
from nbplat.remote.read import read_live
from nbplat.remote.task import FileTask
from nbplat.terms import SnapshotPin, TableName
from tests.fixtures.add_files import add_files_table, hive_table, hive_table_of
from tests.fixtures.deletes import add_deletion_vector, add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import Lake

_US = 1_709_168_523_456_789
_AT = dt.datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=dt.UTC)
_UUID = uuid.UUID(int=7)
_PARTITIONS: dict[str, tuple[IcebergType, Any, Any]] = {
    "boolean": (BooleanType(), False, False),
    "int": (IntegerType(), -3, -3),
    "long": (LongType(), 1 << 60, 1 << 60),
    "float": (FloatType(), 0.5, 0.5),
    "double": (DoubleType(), 0.1, 0.1),
    "decimal": (DecimalType(9, 2), Decimal("-1.25"), Decimal("-1.25")),
    "date": (DateType(), 19_782, dt.date(2024, 2, 29)),
    "time": (TimeType(), 3_723_456_789, dt.time(1, 2, 3, 456789)),
    "timestamp": (TimestampType(), _US, _AT.replace(tzinfo=None)),
    "timestamptz": (TimestamptzType(), _US, _AT),
    "string": (StringType(), "ä/b", "ä/b"),
    "uuid": (UUIDType(), _UUID, _UUID),
    "fixed": (FixedType(3), b"abc", b"abc"),
    "binary": (BinaryType(), b"\x00", b"\x00"),
    "null": (LongType(), None, None),
}


def by_worker(tables: IcebergTables, pin: SnapshotPin, columns: Sequence[str]) -> pa.Table:
    """Every file as a worker reads it: from plain values, without the table."""
    names = {field_id: list(known) for field_id, known in tables.names(pin).items()}
    schema = tables.schema(pin, columns)
    parts = []
    for read in tables.reads(pin, [file.path for file in tables.files(pin)]):
        task = FileTask(
            unit="0",
            fence=1,
            path=read.path,
            rows=read.rows,
            constants=dict(read.constants),
            deleted=read.deleted,
        )
        parts.append(read_live(task, schema, names, {}).table)
    return pa.concat_tables(parts)


@pytest.mark.parametrize("hive", [False, True])
def test_files_of_other_tools_with_deletes(lake: Lake, tmp_path: Path, hive: bool) -> None:
    """Files without ids, with every kind of delete and a renamed column, read alike on both ways."""
    make = hive_table if hive else add_files_table
    table = make(lake.catalog, "shop.taken", tmp_path / "taken", files=3)
    first, second, _ = sorted(task.file.file_path for task in table.scan().plan_files())
    table = add_position_deletes(table, first, [0, 19])
    table = add_deletion_vector(table, second, range(5, 9))
    table = add_equality_deletes(table, ["tag", "x"], [{"tag": "t0", "x": None}, {"tag": "t1", "x": 24.5}])
    with table.update_schema() as update:
        update.rename_column("x", "y")
    tables = IcebergTables(lake.catalog)
    pin = tables.describe(TableName.parse("shop.taken")).pin
    columns = ["id", "day", "y", "tag"]

    rows = by_worker(tables, pin, columns)

    gone = {0, 19, *range(25, 29), 12, 24, 36, 48, 49}  # of the equality deletes: multiples of 12 (t0, null), and 49
    assert [n for n in range(60) if n not in gone] == rows["id"].to_pylist()
    assert tables.read(pin, columns).to_pylist() == rows.to_pylist()


@pytest.mark.parametrize("kind", _PARTITIONS)
def test_partition_values_of_every_type(lake: Lake, tmp_path: Path, kind: str) -> None:
    """A column that only the partition holds has its value in every row, whatever its type."""
    field, stored, value = _PARTITIONS[kind]
    hive_table_of(lake.catalog, "shop.one", tmp_path / "one", field, stored)
    tables = IcebergTables(lake.catalog)
    pin = tables.describe(TableName.parse("shop.one")).pin

    assert [{"v": value, "id": n} for n in range(5)] == by_worker(tables, pin, ["v", "id"]).to_pylist()
