"""Rows of SQL statements: what the driver writes as JSON comes back as the same values in the same types."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import types

from nbplat.remote.driver.exact_rows import exact_json
from nbplat.ui.session_rows import frame_of, rows_of

_UTC = dt.timezone.utc  # noqa: UP017


def local(instant: dt.datetime) -> dt.datetime:
    """An instant as Spark's Python gives it: in the process's own zone, without saying so."""
    return instant.astimezone().replace(tzinfo=None)


def _no_page(_: int) -> bytes:
    raise AssertionError("rows as JSON have no pages")


def travelled(kind: Any, values: list[Any]) -> pa.Table:
    """Values of one column through the driver's JSON, text included."""
    schema = types.StructType([types.StructField("c", kind)])
    data = [exact_json(types.Row("c")(value), schema) for value in values]
    output = {"data": {"application/json": {"schema": json.loads(schema.json()), "data": data, "exact": True}}}
    return rows_of(json.loads(json.dumps(output)), _no_page)


def test_each_simple_type_comes_back_in_its_own() -> None:
    """Type and value of every type of Spark that has one in Arrow; null stays null."""
    cases: list[tuple[Any, Any, pa.DataType]] = [
        (types.ByteType(), -128, pa.int8()),
        (types.ShortType(), 32_767, pa.int16()),
        (types.IntegerType(), -(2**31), pa.int32()),
        (types.LongType(), 2**63 - 1, pa.int64()),
        (types.FloatType(), 0.5, pa.float32()),
        (types.DoubleType(), 1e308, pa.float64()),
        (types.BooleanType(), False, pa.bool_()),
        (types.StringType(), 'it\'s \\ "quoted" \n', pa.string()),
        (types.VarcharType(5), "v", pa.string()),
        (types.BinaryType(), bytearray(b"\0\xff"), pa.binary()),
        (types.DateType(), dt.date(1, 1, 1), pa.date32()),
        (types.TimestampNTZType(), dt.datetime.fromisoformat("2024-03-31T02:30:00.000001"), pa.timestamp("us")),
        (types.DecimalType(38, 0), Decimal(10**38 - 1), pa.decimal128(38, 0)),
        (types.DayTimeIntervalType(), dt.timedelta(days=-1, microseconds=1), pa.duration("us")),
    ]
    for kind, value, arrow in cases:
        table = travelled(kind, [value, None])
        assert (arrow, [value, None]) == (table.schema.field("c").type, table["c"].to_pylist()), kind


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_double_comes_back(value: float) -> None:
    """Infinities and NaN as well, beside null."""
    found, nothing = travelled(types.DoubleType(), [value, None])["c"].to_pylist()
    assert nothing is None
    assert found == value or (math.isnan(value) and math.isnan(found))


@given(st.datetimes(*map(dt.datetime.fromisoformat, ("1902-01-01", "2200-01-01"))))
def test_every_instant_comes_back(value: dt.datetime) -> None:
    """To the microsecond, whatever the driver's time zone."""
    instant = value.replace(tzinfo=_UTC)
    assert [instant] == travelled(types.TimestampType(), [local(instant)])["c"].to_pylist()


@given(st.dictionaries(st.integers(-(2**31), 2**31 - 1), st.lists(st.none() | st.text(max_size=5), max_size=3)))
def test_maps_and_lists_come_back(value: dict[int, list[str | None]]) -> None:
    """Keys keep their type and order, and nulls in lists stay."""
    kind = types.MapType(types.IntegerType(), types.ArrayType(types.StringType()))
    assert [list(value.items())] == travelled(kind, [value])["c"].to_pylist()


def test_a_type_without_an_arrow_form_is_text() -> None:
    """A year-month interval is shown, not lost."""
    table = travelled(types.YearMonthIntervalType(), [14])
    assert (pa.string(), ["14"]) == (table.schema.field("c").type, table["c"].to_pylist())


def test_a_statement_without_rows_gives_no_columns() -> None:
    """DDL has an empty schema; a query without rows keeps its columns."""
    nothing = {"data": {"application/json": {"schema": {"type": "struct", "fields": []}, "data": [], "exact": True}}}
    assert (0, 0) == rows_of(nothing, _no_page).shape
    assert (0, 0) == frame_of(rows_of(nothing, _no_page)).shape
    empty = travelled(types.LongType(), [])
    assert ((0, 1), ["int64"]) == (frame_of(empty).shape, [str(each) for each in frame_of(empty).dtypes])


def test_a_dataframe_rounds_no_number_for_a_null() -> None:
    """Whole numbers beside nulls are nullable, not doubles; without nulls they are plain."""
    frame = frame_of(travelled(types.LongType(), [2**53 + 1, None]))
    assert ("Int64", 2**53 + 1) == (str(frame["c"].dtype), frame["c"][0])
    assert "int64" == str(frame_of(travelled(types.LongType(), [1]))["c"].dtype)
