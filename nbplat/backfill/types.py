"""Iceberg types as text: read once, spelled for Arrow and Spark SQL, their nested fields numbered.

The text is Iceberg's own: ``decimal(9, 2)``, ``list<float>``, ``struct<a: int, b: list<string>>``. Ids and
documentation, which pyiceberg writes into the text of a table's struct, are read over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.backfill.type_text import Cursor, quoted
from nbplat.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COLUMN_TYPES",
    "DECIMAL_DIGITS",
    "IcebergType",
    "ListType",
    "MapType",
    "Primitive",
    "StructType",
    "arrow_schema",
    "arrow_type",
    "column_type",
    "from_arrow",
    "leaf_paths",
    "number_fields",
    "parse_type",
    "spark_type",
    "width_bytes",
]

DECIMAL_DIGITS = 38

# Iceberg -> Spark SQL; decimals are spelled alike in both.
_SPARK_TYPES = {
    "boolean": "boolean",
    "int": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
    "binary": "binary",
}

# Bytes per value in memory; strings and binary by a cautious guess. Feeds the estimate when nothing was sampled.
_WIDTH_BYTES = {
    "boolean": 1,
    "int": 4,
    "long": 8,
    "float": 4,
    "double": 8,
    "string": 16,
    "binary": 16,
    "date": 4,
    "timestamp": 8,
    "timestamptz": 8,
    "decimal": 16,
}
_LIST_LENGTH = 16  # a guess: Iceberg's lists have no length

_NOT_YET = {
    "map": "use a struct with one field a key, or two list columns of keys and values",
    "variant": "use a struct, or keep the JSON text in a string column",
    "time": "Spark has no type for a time of day: use an int or long of seconds or microseconds",
    "uuid": "keep it as a string",
    "fixed": "use binary",
    "timestamp_ns": "use timestamp, in microseconds",
    "timestamptz_ns": "use timestamptz, in microseconds",
    "geometry": "use binary",
    "geography": "use binary",
    "unknown": "every value is null: give the column a type with --type COL=TYPE or a cast",
}

COLUMN_TYPES = (*_SPARK_TYPES, "decimal(p, s)", "list<…>", "struct<name: …, …>")
"""What a new column may be, for the documentation."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """A type without fields; `name` as Iceberg spells it, ``fixed[16]`` and ``decimal(9, 2)`` included."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Precision and scale; None when it is no decimal."""
        if not self.name.startswith("decimal"):
            return None
        precision, scale = self.name.removeprefix("decimal(").rstrip(")").split(",")
        return int(precision), int(scale)


@dataclass(frozen=True, slots=True)
class ListType:
    """A list; its elements may be null."""

    element: IcebergType

    def __str__(self) -> str:
        return f"list<{self.element}>"


@dataclass(frozen=True, slots=True)
class StructType:
    """A struct of named fields, each of which may be null."""

    fields: tuple[tuple[str, IcebergType], ...]

    def __str__(self) -> str:
        return f"struct<{', '.join(f'{quoted(name)}: {kind}' for name, kind in self.fields)}>"


@dataclass(frozen=True, slots=True)
class MapType:
    """A map; a table may have one, a new column may not."""

    key: IcebergType
    value: IcebergType

    def __str__(self) -> str:
        return f"map<{self.key}, {self.value}>"


IcebergType = Primitive | ListType | StructType | MapType


def parse_type(text: str) -> IcebergType:
    """Read a type.

    Raises:
        RequestError: ``type.syntax`` for text that is no type, ``type.unknown`` for an unknown name.
    """
    cursor = Cursor(text)
    kind = _read(cursor)
    cursor.end()
    return kind


def column_type(text: str, what: str = "a new column") -> IcebergType:
    """Read a type that a new column may have.

    Args:
        what: What would have it, for the message: ``the column 'a'``.

    Raises:
        RequestError: as `parse_type`, and ``type.unsupported`` for map, variant, time, uuid, fixed and
            nanoseconds, with what to use instead.
    """
    kind = parse_type(text)
    for part in _walk(kind):
        name = str(part).split("<")[0].split("[")[0]
        if name in _NOT_YET:
            raise RequestError(
                "type.unsupported", f"{what} would be of type {kind}, which holds {part}", fix=_NOT_YET[name]
            )
        if isinstance(part, StructType):
            _check_names(part, what)
    return kind


def spark_type(text: str) -> str:
    """The Spark SQL type of a column's Iceberg type.

    Types that Spark has no name for here (map, fixed, uuid, time) read as ``binary``, nested ones included: they
    may be carried along and are refused wherever something is computed with them.
    """
    return _spark(parse_type(text))


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type of a column's Iceberg type, without field ids; lists are of elements named ``element``."""
    return _arrow(column_type(text))


def arrow_schema(columns: Mapping[str, str], ids: Mapping[str, int] | None = None) -> pa.Schema:
    """The Arrow schema of new columns (name -> Iceberg type).

    Args:
        ids: Path -> field id as `number_fields` gives it; every field then carries its ``PARQUET:field_id``.
    """
    import pyarrow as pa

    return pa.schema([_field(name, column_type(text), name, ids or {}) for name, text in columns.items()])


def from_arrow(kind: pa.DataType) -> str:
    """The Iceberg type that holds every value of an Arrow type; fixed-size lists become lists.

    Raises:
        RequestError: ``type.unsupported``, naming the type.
    """
    from nbplat.backfill.type_arrow import iceberg_text

    return iceberg_text(kind)


def width_bytes(text: str) -> int:
    """Bytes of one value in memory, by a guess for strings and lists."""
    return _width(parse_type(text))


def leaf_paths(name: str, text: str) -> tuple[str, ...]:
    """Dotted paths of a column and of every field below it, parents first: ``a``, ``a.element``, ``s``, ``s.x``."""
    return tuple(_paths(name, parse_type(text)))


def number_fields(columns: Sequence[tuple[str, str]], first: int) -> dict[str, int]:
    """Fresh field ids for new columns (name, Iceberg type) and all that is nested in them.

    Top-level columns come first, in order, then the nested fields, so that the ids of plain columns do not depend
    on their neighbours' insides.
    """
    nested = [path for name, text in columns for path in leaf_paths(name, text)[1:]]
    return {path: first + number for number, path in enumerate([*(name for name, _ in columns), *nested])}


def _read(cursor: Cursor) -> IcebergType:
    name = cursor.word().lower()
    match name:
        case "list" | "array":
            cursor.take("<")
            element = _read(cursor)
            cursor.take(">")
            return ListType(element)
        case "map":
            cursor.take("<")
            key = _read(cursor)
            cursor.take(",")
            value = _read(cursor)
            cursor.take(">")
            return MapType(key, value)
        case "struct":
            return StructType(tuple(_fields(cursor)))
        case "decimal":
            return _decimal(cursor)
        case "fixed":
            return Primitive(f"fixed[{cursor.numbers('[', ']', 1)[0]}]")
    known = {"bigint": "long", "integer": "int", **{each: each for each in (*_SPARK_TYPES, *_NOT_YET)}}
    if name not in known:
        choices = [*_SPARK_TYPES, "decimal(9, 2)", "list<float>", "struct<a: int>"]
        raise RequestError(
            "type.unknown",
            f"{cursor.text!r} is no Iceberg type: {name!r} is not known",
            fix=did_you_mean(name, choices),
        )
    return Primitive(known[name])


def _fields(cursor: Cursor) -> Iterator[tuple[str, IcebergType]]:
    cursor.take("<")
    while True:
        cursor.field_id()
        name = cursor.name()
        cursor.take(":")
        cursor.skip_word("required", "optional")
        yield name, _read(cursor)
        cursor.skip_note()
        if not cursor.maybe(","):
            break
    cursor.take(">")


def _decimal(cursor: Cursor) -> Primitive:
    precision, scale = cursor.numbers("(", ")", 2)
    if not 0 < precision <= DECIMAL_DIGITS or not 0 <= scale <= precision:
        raise RequestError(
            "type.decimal",
            f"decimal({precision}, {scale}) cannot be",
            fix=f"precision is 1 to {DECIMAL_DIGITS}, scale 0 to the precision: decimal(18, 4)",
        )
    return Primitive(f"decimal({precision}, {scale})")


def _check_names(struct: StructType, what: str) -> None:
    names = [name.lower() for name, _ in struct.fields]
    bad = [name for name, _ in struct.fields if not name or "." in name or names.count(name.lower()) > 1]
    if bad:
        raise RequestError(
            "type.field",
            f"{what} has a struct field named {bad[0]!r}",
            fix="give each field one name without a dot, whatever its case",
        )


def _walk(kind: IcebergType) -> Iterator[IcebergType]:
    yield kind
    for _, child in _children(kind):
        yield from _walk(child)


def _children(kind: IcebergType) -> tuple[tuple[str, IcebergType], ...]:
    match kind:
        case ListType():
            return (("element", kind.element),)
        case StructType():
            return kind.fields
        case MapType():
            return (("key", kind.key), ("value", kind.value))
        case _:
            return ()


def _paths(path: str, kind: IcebergType) -> Iterator[str]:
    yield path
    for name, child in _children(kind):
        yield from _paths(f"{path}.{name}", child)


def _spark(kind: IcebergType) -> str:
    match kind:
        case ListType():
            return f"array<{_spark(kind.element)}>"
        case StructType():
            return f"struct<{', '.join(f'{quoted(name)}: {_spark(child)}' for name, child in kind.fields)}>"
        case Primitive(name) if name.startswith("decimal"):
            return name
        case _:
            return _SPARK_TYPES.get(str(kind), "binary")


def _arrow(kind: IcebergType) -> pa.DataType:
    return _field("", kind, "", {}).type


def _field(name: str, kind: IcebergType, path: str, ids: Mapping[str, int]) -> pa.Field:
    import pyarrow as pa

    from nbplat.backfill.type_arrow import primitive

    match kind:
        case ListType():
            arrow: pa.DataType = pa.list_(_field("element", kind.element, f"{path}.element", ids))
        case StructType():
            arrow = pa.struct([_field(each, child, f"{path}.{each}", ids) for each, child in kind.fields])
        case Primitive():
            arrow = primitive(kind.name, kind.decimal)
        case MapType():
            raise AssertionError("column_type has refused maps")
    return pa.field(name, arrow, metadata={"PARQUET:field_id": str(ids[path])} if path in ids else None)


def _width(kind: IcebergType) -> int:
    match kind:
        case ListType():
            return _LIST_LENGTH * _width(kind.element)
        case StructType():
            return sum(_width(child) for _, child in kind.fields)
        case _:
            return _WIDTH_BYTES.get(str(kind).split("(")[0], 16)
