"""The types of new columns: read, spelled, cast, and stored so that every reader gives them back."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbplat.backfill.types import (
    arrow_schema,
    arrow_type,
    column_type,
    from_arrow,
    leaf_paths,
    number_fields,
    parse_type,
    spark_type,
)
from nbplat.errors import DataError, RequestError
from nbplat.remote.cast import CastError, cast_column
from nbplat.remote.numbering import numbered
from tests.fixtures.lakehouse import Lake

PLAIN = ("boolean", "int", "long", "float", "double", "string", "binary", "date", "timestamp", "timestamptz")

primitives = st.one_of(
    st.sampled_from(PLAIN),
    st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: f"decimal({p}, {s})")),
)


def _struct(fields: dict[str, str]) -> str:
    return f"struct<{', '.join(f'{name}: {kind}' for name, kind in fields.items())}>"


types = st.recursive(
    primitives,
    lambda inner: (
        inner.map(lambda kind: f"list<{kind}>")
        | st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3).map(_struct)
    ),
    max_leaves=4,
)


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of an Arrow type, nulls at every level."""
    if pa.types.is_list(kind):
        return st.none() | st.lists(values(kind.value_type), max_size=4)
    if pa.types.is_struct(kind):
        fields = {field.name: values(field.type) for field in kind}
        return st.none() | st.fixed_dictionaries(fields)
    if pa.types.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.none() | st.integers(-most, most).map(lambda n: decimal.Decimal(n).scaleb(-kind.scale, _EXACT))
    low, high = dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)  # noqa: DTZ001 - made aware below
    return (
        st.none()
        | {
            pa.bool_(): st.booleans(),
            pa.int32(): st.integers(-(2**31), 2**31 - 1),
            pa.int64(): st.integers(-(2**63), 2**63 - 1),
            pa.float32(): st.floats(width=32),
            pa.float64(): st.floats(),
            pa.string(): st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
            pa.binary(): st.binary(max_size=5),
            pa.date32(): st.dates(low.date(), high.date()),
            pa.timestamp("us"): st.datetimes(low, high),
            pa.timestamp("us", "UTC"): st.datetimes(low, high, timezones=st.just(dt.UTC)),
        }[kind]
    )


_EXACT = decimal.Context(prec=60)


def plain(value: Any) -> Any:
    """A value with NaN made equal to itself."""
    match value:
        case float():
            return "NaN" if math.isnan(value) else value
        case list():
            return [plain(each) for each in value]
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case bytearray() | memoryview():
            return bytes(value)
        case _:
            return value


@given(types)
def test_a_type_is_read_back_from_its_own_text(text: str):
    """The canonical text, Arrow's type and back are the same type."""
    kind = column_type(text)

    assert (kind, str(kind)) == (parse_type(str(kind)), from_arrow(arrow_type(text)))


@given(types)
def test_every_nested_field_has_an_id_of_its_own(text: str):
    """Fresh ids are unique, without a gap, and stand on every field of the Arrow schema."""
    ids = number_fields([("a", text), ("b", "list<float>")], 7)
    paths = [*leaf_paths("a", text), "b", "b.element"]

    assert (set(paths), list(range(7, 7 + len(paths)))) == (set(ids), sorted(ids.values()))
    assert len(paths) == str(
        arrow_schema({"a": text, "b": "list<float>"}, ids).to_string(show_field_metadata=True)
    ).count("PARQUET:field_id")


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("struct<1: a: required int (x > y (z)), 2: e: optional list<float>>", "struct<a: int, e: array<float>>"),
        ("map<string, decimal(9, 2)>", "binary"),
        ("list<map<string, int>>", "array<binary>"),
        ("fixed[16]", "binary"),
        ("decimal(9,2)", "decimal(9, 2)"),
        ("struct<`a b`: bigint>", "struct<`a b`: bigint>"),
    ],
)
def test_the_types_of_existing_columns_are_read_as_pyiceberg_writes_them(text: str, spelled: str):
    """Ids, requiredness and documentation in a table's type do not disturb."""
    assert spelled == spark_type(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("map<int, int>", "type.unsupported"),
        ("list<map<int, int>>", "type.unsupported"),
        ("variant", "type.unsupported"),
        ("struct<a: variant>", "type.unsupported"),
        ("time", "type.unsupported"),
        ("uuid", "type.unsupported"),
        ("fixed[16]", "type.unsupported"),
        ("timestamp_ns", "type.unsupported"),
        ("decimal(39, 0)", "type.decimal"),
        ("decimal(4, 5)", "type.decimal"),
        ("struct<a: int, A: int>", "type.field"),
        ("struct<`a.b`: int>", "type.field"),
        ("struct<>", "type.syntax"),
        ("list<int", "type.syntax"),
        ("list<int>>", "type.syntax"),
        ("", "type.syntax"),
        ("number", "type.unknown"),
    ],
)
def test_a_type_that_no_new_column_can_have_is_refused_by_name(text: str, code: str):
    """Each refusal names the type and what to use instead."""
    with pytest.raises(RequestError) as refused:
        column_type(text)

    assert code == refused.value.code
    assert refused.value.fix


@pytest.mark.parametrize(
    ("values", "source", "wanted"),
    [
        ([1, None], pa.int64(), pa.int32()),
        ([1.0, None, -3.0], pa.float64(), pa.int64()),
        ([1.5, math.inf, None], pa.float64(), pa.float32()),
        ([[1.5, None], None, []], pa.list_(pa.float64()), arrow_type("list<float>")),
        ([[1.5, 2.5], None, [0.0, 1.0]], pa.list_(pa.float64(), 2), arrow_type("list<float>")),
        ([{"a": 1}, None], pa.struct({"a": pa.int64()}), arrow_type("struct<a: int>")),
        ([{"a": 1, "b": "x"}], pa.struct({"b": pa.string(), "a": pa.int8()}), arrow_type("struct<a: int, b: string>")),
        (["x", None], pa.dictionary(pa.int32(), pa.string()), pa.string()),
        ([None, None], pa.null(), arrow_type("struct<a: int>")),
        ([decimal.Decimal("1.50")], pa.decimal128(5, 2), pa.decimal128(9, 3)),
        ([3, None], pa.int32(), pa.decimal128(9, 2)),
    ],
)  # fmt: skip
def test_a_cast_keeps_every_value(values: list[Any], source: pa.DataType, wanted: pa.DataType):
    """Values that fit come out equal, in the wanted type, also from a slice."""
    column = pa.chunked_array([pa.array([None, *values], source).slice(1)])

    cast = cast_column(column, wanted)

    assert (wanted, values) == (cast.type, cast.to_pylist())


@pytest.mark.parametrize(
    ("values", "source", "wanted"),
    [
        ([2**31], pa.int64(), pa.int32()),
        ([1.5], pa.float64(), pa.int64()),
        ([math.nan], pa.float64(), pa.int64()),
        ([1e300], pa.float64(), pa.float32()),
        ([[0.0, -1e300]], pa.list_(pa.float64()), arrow_type("list<float>")),
        ([1e30], pa.float64(), pa.decimal128(9, 2)),
        ([decimal.Decimal("1.55")], pa.decimal128(5, 2), pa.decimal128(5, 1)),
        ([{"a": 1}], pa.struct({"a": pa.int64()}), arrow_type("struct<b: int>")),
        ([[1]], pa.list_(pa.int64()), pa.int64()),
    ],
)  # fmt: skip
def test_a_cast_that_would_lose_something_is_an_error(values: list[Any], source: pa.DataType, wanted: pa.DataType):
    """Overflow, a lost fraction and other fields raise, and never become a null or another value."""
    with pytest.raises(CastError):
        cast_column(pa.chunked_array([pa.array(values, source)]), wanted)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kinds=st.lists(types, min_size=1, max_size=3))
def test_columns_of_any_type_are_spliced_and_read_equal(tmp_path, data: st.DataObject, kinds: list[str]):
    """Staged and spliced columns have their values in pyarrow, DuckDB, Polars and pyiceberg, ids at every level."""
    from nbplat.adapters.files.local import LocalFiles
    from nbplat.adapters.parquet.splice import splice
    from nbplat.backfill.ports import Addition

    rows = data.draw(st.integers(0, 12))
    columns = {f"f{number}": text for number, text in enumerate(kinds)}
    staged = pa.table(
        [
            pa.array(data.draw(st.lists(values(arrow_type(text)), min_size=rows, max_size=rows)), arrow_type(text))
            for text in columns.values()
        ],
        schema=arrow_schema(columns),
    )
    base = pa.table({"id": pa.array(range(rows), pa.int64())}, schema=numbered(pa.schema({"id": pa.int64()})))
    paths = [tmp_path / name for name in ("base.parquet", "staged.parquet", "out.parquet")]
    for path, table in zip(paths, (base, staged.cast(numbered(staged.schema))), strict=False):
        pq.write_table(table, path, row_group_size=5)
    paths[2].unlink(missing_ok=True)

    ids = number_fields(list(columns.items()), 2)
    base_file, staged_file, out = map(str, paths)
    splice(LocalFiles(), base_file, [Addition(staged_file, ids)], out)

    expected = [plain(row) for row in staged.to_pylist()]
    names = list(columns)
    found = pq.read_table(paths[2])
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        by_duckdb = db.sql(f"select {', '.join(names)} from '{paths[2]}' order by id").to_arrow_table()
    assert expected == [plain(row) for row in found.select(names).to_pylist()]
    assert expected == [plain(row) for row in by_duckdb.cast(staged.schema).to_pylist()]
    assert expected == [
        plain(row) for row in pl.read_parquet(paths[2]).select(names).to_arrow().cast(staged.schema).to_pylist()
    ]
    assert expected == [plain(row) for row in _by_pyiceberg(paths[2], columns, ids).select(names).to_pylist()]


def _by_pyiceberg(path: Any, columns: dict[str, str], ids: dict[str, int]) -> pa.Table:
    """Read by field id, as a table scan does."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    from nbplat.adapters.iceberg.schemas import iceberg_field

    schema = pyarrow_to_schema(pq.read_schema(path))
    expected = [iceberg_field(name, parse_type(text), name, ids) for name, text in columns.items()]
    assert expected == list(schema.fields[1:])
    return pq.read_table(path)


NESTED_SQL = """select id, cast(array(x, 2.5D, null) as array<float>) as emb,
  named_struct('k', customer, 'tags', array(tag, 'z')) as s, x * 2D as narrow, 3 as money from base"""
DECLARED = {"narrow": "float", "money": "decimal(9, 2)"}


def test_nested_and_declared_columns_are_staged_promoted_and_read_by_field_id(lake: Lake):
    """An embedding, a struct, a float and a decimal come out of the table as they were computed."""
    run_id = lake.stage("wide", NESTED_SQL, types=DECLARED)
    lake.promote(run_id)

    schema = lake.table().schema()
    rows = lake.table().scan().to_arrow().sort_by("id").to_pylist()

    assert {
        "emb": "list<float>",
        "s": "struct<k: long, tags: list<string>>",
        "narrow": "float",
        "money": "decimal(9, 2)",
    } == {column.name: str(parse_type(str(column.field_type))) for column in schema.fields[5:]}
    ids = list(schema.field_ids)
    assert len(ids) == len(set(ids))
    for row in rows:
        x = row["x"]
        assert [None if x is None else x, 2.5, None] == row["emb"]
        assert {"k": row["customer"], "tags": [row["tag"], "z"]} == row["s"]
        assert (None if x is None else x * 2, decimal.Decimal("3.00")) == (row["narrow"], row["money"])
    by_duckdb = duckdb.sql(
        "select emb, s.k as k from read_parquet(?) order by id",
        params=[[task.file.file_path.removeprefix("file://") for task in lake.table().scan().plan_files()]],
    ).fetchall()
    assert [(row["emb"], row["s"]["k"]) for row in rows] == by_duckdb


def test_a_value_beyond_its_declared_type_fails_its_unit_by_name(lake: Lake):
    """Overflow of a declared type is an error that names the column, never a null."""
    with pytest.raises(DataError) as failed:
        lake.submit("small", "select id, id * 1000000000 as f from base", types={"f": "int"})

    assert "body.type_drift" == failed.value.code
