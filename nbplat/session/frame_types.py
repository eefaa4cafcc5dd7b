"""DataFrames for Spark: every column brought into a type that Spark has, without changing a value, or refused."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING

from nbplat.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_frame_name", "check_frame_schema", "spark_table"]

_PRECISION = 38


def check_frame_name(name: str) -> None:
    """Raises RequestError ``frame.name`` for what cannot be a variable of the session."""
    if not name.isidentifier() or keyword.iskeyword(name):
        shown = name[:80]
        raise RequestError("frame.name", f"{shown!r} cannot be a variable", fix="give a Python name", where=shown)


def spark_table(name: str, table: pa.Table) -> pa.Table:
    """A frame in types that Spark has.

    Unsigned numbers go to the next larger signed type, 64-bit ones to decimal(20,0); times to microseconds; views,
    dictionaries, runs and large types to plain ones. Columns keep their names and order.

    Raises:
        RequestError: ``frame.type``: Spark has no such type. ``frame.value``: a value that Spark's type cannot hold,
            such as a nanosecond. ``frame.empty``: there is no column.
    """
    import pyarrow as pa

    if not table.num_columns:
        raise RequestError("frame.empty", f"{name!r} has no columns", fix="send a frame with one column at least")
    fields = [_field(field, _named(name, field)) for field in table.schema]
    columns = [_cast(name, column, field) for column, field in zip(table.columns, fields, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def check_frame_schema(name: str, schema: pa.Schema) -> None:
    """Raises RequestError for a frame that is not in Spark's types; see `spark_table`."""
    spark_table(name, schema.empty_table())
    for field in schema:
        wanted = _field(field, "").type
        if wanted != field.type:
            raise RequestError(
                "frame.type",
                f"{_named(name, field)} is {field.type}, which Spark reads as another type",
                fix=f"cast it to {wanted} first",
                where=field.name,
            )


def _named(name: str, field: pa.Field) -> str:
    return f"column {field.name!r} of {name!r}"


def _cast(name: str, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type == field.type:
        return column
    try:
        return column.cast(field.type, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        said = str(exc).splitlines()[0]
        nanoseconds = "lose data" in said and (pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type))
        raise RequestError(
            "frame.value",
            f"{_named(name, field)} ({column.type}) holds a value that Spark's {field.type} cannot: {said}",
            fix="cut it to microseconds first: df[column].dt.floor('us')" if nanoseconds else "cast the column first",
            where=field.name,
        ) from None


def _field(field: pa.Field, where: str) -> pa.Field:
    import pyarrow as pa

    # No metadata: what pandas or an extension writes there is not Spark's.
    return pa.field(field.name, _type(field.type, where), nullable=field.nullable)


def _type(kind: pa.DataType, where: str) -> pa.DataType:
    """The type that Spark has for one of Arrow's."""
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _type(kind.storage_type, where)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _type(kind.value_type, where)
    for fits, made in _SIMPLE:
        if getattr(types, fits)(kind):
            return getattr(pa, str(made[0]))(*made[1:])
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if types.is_decimal(kind):
        if kind.precision <= _PRECISION and 0 <= kind.scale <= kind.precision:
            return pa.decimal128(kind.precision, kind.scale)
        raise _no_type(kind, where, f"Spark's decimals have up to {_PRECISION} digits")
    if types.is_map(kind):
        return pa.map_(_type(kind.key_type, where), _field(kind.item_field, where))
    if types.is_struct(kind):
        names = [field.name for field in kind]
        if len(set(names)) < len(names):
            raise _no_type(kind, where, "two of its fields have one name")
        return pa.struct([_field(field, where) for field in kind])
    lists = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    if any(getattr(types, f"is_{one}")(kind) for one in lists):
        return pa.list_(_field(kind.value_field, where))
    raise _no_type(kind, where, "Spark has no such type")


def _no_type(kind: pa.DataType, where: str, why: str) -> RequestError:
    return RequestError("frame.type", f"{where} is {kind}: {why}", fix="cast it, or leave the column out", where=where)


_SIMPLE: tuple[tuple[str, tuple[str | int, ...]], ...] = (
    ("is_null", ("null",)),
    ("is_boolean", ("bool_",)),
    ("is_int8", ("int8",)),
    ("is_int16", ("int16",)),
    ("is_int32", ("int32",)),
    ("is_int64", ("int64",)),
    ("is_uint8", ("int16",)),
    ("is_uint16", ("int32",)),
    ("is_uint32", ("int64",)),
    ("is_uint64", ("decimal128", 20, 0)),
    ("is_float16", ("float32",)),
    ("is_float32", ("float32",)),
    ("is_float64", ("float64",)),
    ("is_string", ("string",)),
    ("is_large_string", ("string",)),
    ("is_string_view", ("string",)),
    ("is_binary", ("binary",)),
    ("is_large_binary", ("binary",)),
    ("is_binary_view", ("binary",)),
    ("is_fixed_size_binary", ("binary",)),
    ("is_date", ("date32",)),
    ("is_duration", ("duration", "us")),
)
