"""Random tables for joins: real Iceberg files, with everything in them that makes a join go wrong."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType,
    DateType,
    DecimalType,
    FixedType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    UUIDType,
)

from nbplat.adapters.iceberg.arrow_schema import arrow_schema

__all__ = ["KEYS", "make_table", "oracle"]

_DAY = dt.date(2026, 11, 1)
_MIDNIGHT = dt.datetime.combine(_DAY, dt.time())

# Name -> the base's type, the staged table's type, and a key made of a number.
KEYS: dict[str, tuple[IcebergType, IcebergType, Callable[[int], Any]]] = {
    "long": (LongType(), LongType(), lambda n: n * 7 - 20),
    "int meets long": (IntegerType(), LongType(), lambda n: n * 7 - 20),
    "string": (StringType(), StringType(), lambda n: f"käse {n}" if n % 3 else ""),
    "date": (DateType(), DateType(), lambda n: _DAY + dt.timedelta(days=n)),
    "timestamp": (TimestampType(), TimestampType(), lambda n: _MIDNIGHT + dt.timedelta(hours=n)),
    "decimal": (DecimalType(9, 2), DecimalType(12, 2), lambda n: decimal.Decimal(n) / 4),
    "fixed meets binary": (FixedType(2), BinaryType(), lambda n: bytes([n % 256, 0])),
    "timestamp of a zone": (
        TimestamptzType(),
        TimestamptzType(),
        lambda n: _MIDNIGHT.replace(hour=n % 24, tzinfo=dt.UTC),
    ),
    "binary": (BinaryType(), BinaryType(), lambda n: bytes([n % 256, 0])),
    "uuid": (UUIDType(), UUIDType(), lambda n: uuid.UUID(int=n << 64).bytes),
}


def make_table(
    catalog: Catalog,
    name: str,
    fields: Sequence[tuple[str, IcebergType]],
    appends: Sequence[Sequence[dict[str, Any]]],
    *,
    bucket: tuple[str, int] | None,
    by: str = "",
) -> Table:
    """A table with one append per list of rows, partitioned by a column and by a bucket of another."""
    catalog.create_namespace_if_not_exists(name.split(".")[0])
    schema = Schema(*(NestedField(at, field, kind, required=False) for at, (field, kind) in enumerate(fields, 1)))
    ids = {field.name: field.field_id for field in schema.fields}
    parts = []
    if by:
        parts.append(PartitionField(ids[by], 1000, IdentityTransform(), by))
    if bucket:
        parts.append(PartitionField(ids[bucket[0]], 1001, BucketTransform(bucket[1]), f"{bucket[0]}_bucket"))
    table = catalog.create_table(name, schema, partition_spec=PartitionSpec(*parts))
    for rows in appends:
        append(table, rows)
    return catalog.load_table(name)


def append(table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Append rows of the table's present columns."""
    if rows:
        schema = arrow_schema(table.schema().fields).remove_metadata()
        plain = pa.schema([field.remove_metadata() for field in schema])
        table.append(pa.Table.from_pylist([{f.name: row.get(f.name) for f in plain} for row in rows], schema=plain))


def oracle(
    base: Sequence[dict[str, Any]],
    staged: Sequence[dict[str, Any]],
    keys: Sequence[tuple[str, str]],
    values: Sequence[str],
) -> list[dict[str, Any]]:
    """What the join must give, row by row: a left join in plain Python, nulls match nothing."""
    found = {tuple(row[theirs] for _, theirs in keys): row for row in staged}
    joined = []
    for row in base:
        key = tuple(row[ours] for ours, _ in keys)
        match = found.get(key, {}) if None not in key else {}
        joined.append({**row, **{name: match.get(name) for name in values}})
    return joined
