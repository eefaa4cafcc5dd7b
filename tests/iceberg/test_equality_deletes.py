"""Equality deletes by value: null-safe, over every primitive type, through every change of the schema."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.table import Table
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
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from nbplat.adapters.iceberg.deletes import deleted_positions
from nbplat.adapters.iceberg.live import live_files
from tests.fixtures.deletes import add_equality_deletes
from tests.fixtures.lakehouse import Lake

_UTC = dt.datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=dt.UTC)
_DAY = _UTC.replace(tzinfo=None)
_VALUES: dict[str, tuple[IcebergType, Any, Any]] = {
    "boolean": (BooleanType(), True, False),
    "int": (IntegerType(), -7, 7),
    "long": (LongType(), 1 << 62, (1 << 62) + 1),
    "float": (FloatType(), 0.5, 0.25),
    "double": (DoubleType(), 0.1, 0.2),
    "negative zero": (DoubleType(), -0.0, 0.0),
    "nan": (DoubleType(), float("nan"), 1.0),
    "decimal": (DecimalType(20, 3), Decimal("12345678901234567.001"), Decimal("12345678901234567.002")),
    "date": (DateType(), _DAY.date(), _DAY.date() + dt.timedelta(days=1)),
    "time": (TimeType(), _DAY.time(), dt.time(1)),
    "timestamp": (TimestampType(), _DAY, _DAY + dt.timedelta(microseconds=1)),
    "timestamptz": (TimestamptzType(), _UTC, _UTC + dt.timedelta(days=1)),
    "string": (StringType(), "ä", "a"),
    "empty string": (StringType(), "", "a"),
    "uuid": (UUIDType(), uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes),
    "fixed": (FixedType(3), b"abc", b"xyz"),
    "binary": (BinaryType(), b"", b"\x00"),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One state folder for all these tables."""
    lake = Lake(tmp_path_factory.mktemp("values") / "home")
    lake.catalog.create_namespace("shop")
    yield lake
    lake.close()


def table_of(lake: Lake, fields: dict[str, IcebergType], rows: list[dict[str, Any]]) -> Table:
    schema = Schema(*(NestedField(n, name, kind, required=False) for n, (name, kind) in enumerate(fields.items(), 1)))
    table = lake.catalog.create_table(f"shop.values_{uuid.uuid4().hex}", schema)
    table.append(pa.Table.from_pylist(rows, schema.as_arrow()))
    return table.refresh()


def deleted(table: Table) -> list[list[int]]:
    return [deleted_positions(table, live).tolist() for live in live_files(table, table.current_snapshot())]


@pytest.mark.parametrize("kind", _VALUES)
def test_values_of_every_type(lake: Lake, kind: str) -> None:
    """A delete removes the rows of equal value and no other; nulls stay unless a null is deleted."""
    field, gone, kept = _VALUES[kind]
    table = table_of(lake, {"v": field}, [{"v": value} for value in (kept, gone, None, gone)])

    table = add_equality_deletes(table, ["v"], [{"v": gone}])
    assert [[1, 3]] == deleted(table)

    table = add_equality_deletes(table, ["v"], [{"v": None}])
    assert [[1, 2, 3]] == deleted(table)


def test_several_columns_must_all_be_equal(lake: Lake) -> None:
    """A delete row of several columns removes the rows that equal it in all of them, null equal to null."""
    rows = [{"a": a, "b": b} for a in (1, 2, None) for b in ("x", None)]
    table = table_of(lake, {"a": LongType(), "b": StringType()}, rows)

    table = add_equality_deletes(table, ["b", "a"], [{"a": 1, "b": None}, {"a": None, "b": "x"}])

    assert [[1, 4]] == deleted(table)


def test_deletes_of_different_columns_add_up(lake: Lake) -> None:
    """Delete files with other delete columns apply side by side."""
    table = table_of(lake, {"a": LongType(), "b": LongType()}, [{"a": n, "b": -n} for n in range(6)])

    table = add_equality_deletes(table, ["a"], [{"a": 1}])
    table = add_equality_deletes(table, ["b"], [{"b": -4}, {"b": 9}])

    assert [[1, 4]] == deleted(table)


def test_a_renamed_and_promoted_column_still_deletes(lake: Lake) -> None:
    """Delete columns are found by field id and read with the type they were promoted to."""
    table = table_of(lake, {"a": IntegerType(), "b": FloatType()}, [{"a": n, "b": n / 4} for n in range(4)])
    table = add_equality_deletes(table, ["a", "b"], [{"a": 2, "b": 0.5}])
    with table.update_schema() as update:
        update.update_column("a", field_type=LongType())
        update.update_column("b", field_type=DoubleType())
    with table.refresh().update_schema() as update:
        update.rename_column("a", "was_a")

    assert [[2]] == deleted(table.refresh())


def test_a_dropped_column_still_deletes(lake: Lake) -> None:
    """A delete column that was dropped, and whose name was taken again, goes on deleting by its old values."""
    table = table_of(lake, {"a": LongType(), "b": LongType()}, [{"a": n, "b": n} for n in range(3)])
    table = add_equality_deletes(table, ["a"], [{"a": 1}])
    with table.update_schema() as update:
        update.delete_column("a")
    with table.refresh().update_schema() as update:
        update.add_column("a", LongType())

    assert [[1]] == deleted(table.refresh())


def test_a_column_added_later_is_null_in_older_files(lake: Lake) -> None:
    """Deleting null in a column that a file lacks removes all its rows; deleting a value removes none."""
    table = table_of(lake, {"a": LongType()}, [{"a": n} for n in range(3)])
    with table.update_schema() as update:
        update.add_column("late", StringType())

    table = add_equality_deletes(table.refresh(), ["late"], [{"late": "x"}])
    assert [[]] == deleted(table)

    table = add_equality_deletes(table, ["late"], [{"late": None}])
    assert [[0, 1, 2]] == deleted(table)
