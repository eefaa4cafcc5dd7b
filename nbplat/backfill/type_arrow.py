"""Arrow's side of the Iceberg types: the type that holds a primitive, and the text for an Arrow type."""

from __future__ import annotations

import pyarrow as pa

from nbplat.backfill.type_text import quoted
from nbplat.errors import RequestError

__all__ = ["iceberg_text", "primitive"]

_PRIMITIVES = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}

# Arrow types besides those above whose every value fits.
_WIDENED = {
    pa.int8(): "int",
    pa.int16(): "int",
    pa.uint8(): "int",
    pa.uint16(): "int",
    pa.uint32(): "long",
    pa.float16(): "float",
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.large_binary(): "binary",
    pa.binary_view(): "binary",
    pa.date64(): "date",
}


def primitive(name: str, decimal: tuple[int, int] | None) -> pa.DataType:
    """The Arrow type of a primitive; `decimal` is its precision and scale."""
    return pa.decimal128(*decimal) if decimal else _PRIMITIVES[name]


def iceberg_text(kind: pa.DataType) -> str:
    """The text of the Iceberg type; RequestError ``type.unsupported`` for what a new column cannot have."""
    for name, known in _PRIMITIVES.items():
        if kind == known:
            return name
    if kind in _WIDENED:
        return _WIDENED[kind]
    if pa.types.is_dictionary(kind):
        return iceberg_text(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms", "us"):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{iceberg_text(kind.value_type)}>"
    if pa.types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return f"struct<{', '.join(f'{quoted(field.name)}: {iceberg_text(field.type)}' for field in fields)}>"
    raise RequestError("type.unsupported", f"a new column cannot be of Arrow type {kind}", fix=_mend(kind))


def _mend(kind: pa.DataType) -> str:
    if pa.types.is_null(kind):
        return "every value is null: give the column a type with --type COL=TYPE or a cast"
    if pa.types.is_map(kind):
        return "use a struct with one field a key, or two list columns of keys and values"
    if pa.types.is_timestamp(kind):
        return "use microseconds: cast to timestamp('us')"
    if pa.types.is_time(kind):
        return "use an integer of seconds or microseconds"
    if kind == pa.uint64():
        return "cast to int64 or decimal128(20, 0)"
    return "use a number, string, boolean, binary, date, timestamp, list or struct"
