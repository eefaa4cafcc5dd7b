"""DuckDB's result types as Iceberg types."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.type_text import quoted
from nbplat.errors import RequestError

__all__ = ["iceberg_type"]

# HUGEINT is what sum and count_if of integers give here where Spark gives bigint; a value beyond bigint is an
# overflow error in both.
_TYPES = {
    "boolean": "boolean",
    "sqlnull": "unknown",
    "null": "unknown",
    "tinyint": "int",
    "smallint": "int",
    "integer": "int",
    "bigint": "long",
    "hugeint": "long",
    "float": "float",
    "double": "double",
    "varchar": "string",
    "blob": "binary",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp with time zone": "timestamptz",
}


def iceberg_type(kind: Any, column: str) -> str:
    """The Iceberg type that a result column of a DuckDB type gets; fixed-length arrays become lists, and one that
    is nothing but nulls is ``unknown``.

    Args:
        kind: A ``DuckDBPyType``.
        column: Its name, for the message.

    Raises:
        RequestError: a type that a new column cannot have.
    """
    match kind.id:
        case "decimal":
            precision, scale = (size for _, size in kind.children)
            return f"decimal({precision}, {scale})"
        case "list" | "array":
            return f"list<{iceberg_type(kind.children[0][1], column)}>"
        case "struct":
            fields = [f"{quoted(name)}: {iceberg_type(child, column)}" for name, child in kind.children]
            return f"struct<{', '.join(fields)}>"
    if kind.id in _TYPES:
        return _TYPES[kind.id]
    raise RequestError(
        "body.result_type",
        f"the column {column!r} would be of type {kind}",
        fix=_MENDS.get(
            kind.id, "cast it to double, bigint, int, string, boolean, date, timestamp, or an array or struct of them"
        ),
    )


_MENDS = {
    "map": "use a struct with one field a key, or two array columns of keys and values",
    "time": "use an int or bigint of seconds or microseconds",
    "uuid": "cast it to string",
    "hugeint": "cast it to bigint or decimal(38, 0)",
}
