"""The types that the subset computes with, and how each expression of a body gets its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = [
    "ANY",
    "BIGINT",
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MIXED",
    "NULL",
    "NUMBER",
    "OTHER",
    "STRING",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TRUTH",
    "UNKNOWN",
    "common",
    "digits_of",
    "kind_of",
    "kind_of_type",
    "type_of",
    "type_text",
]

BOOLEAN, INT, BIGINT, DOUBLE, STRING = "boolean", "int", "bigint", "double", "string"
FLOAT = "float"  # may be cast, counted, compared and put into arrays; nothing is computed with it
DATE, TIMESTAMP, DECIMAL, INTERVAL, NULL = "date", "timestamp", "decimal", "interval", "null"

UNKNOWN = "unknown"  # no types were given for the tables
MIXED = "mixed"  # sides that Spark and DuckDB bring together in different ways
OTHER = "other"  # a type that a column may have and no function here takes: binary, array, struct, timestamp_ntz, …

TRUTH = frozenset({BOOLEAN})
INTEGER = frozenset({INT, BIGINT})
NUMBER = frozenset({INT, BIGINT, DOUBLE})
TEXT = frozenset({STRING})
TIME = frozenset({DATE, TIMESTAMP})
ANY = TRUTH | NUMBER | TEXT | TIME

# From narrow to wide, as Spark widens.
_NUMBERS = (INT, BIGINT, DECIMAL, DOUBLE)

# sqlglot's names. It reads Spark's TIMESTAMP, which is an instant, as TIMESTAMPTZ.
_KINDS = {
    "BOOLEAN": BOOLEAN,
    "INT": INT,
    "BIGINT": BIGINT,
    "DOUBLE": DOUBLE,
    "FLOAT": FLOAT,
    "VARCHAR": STRING,
    "TEXT": STRING,
    "DATE": DATE,
    "TIMESTAMPTZ": TIMESTAMP,
    "TIMESTAMPLTZ": TIMESTAMP,
    "TIMESTAMP": TIMESTAMP,
    "DECIMAL": DECIMAL,
    "INTERVAL": INTERVAL,
    "NULL": NULL,
    "UNKNOWN": UNKNOWN,
}
_TYPES = {
    BOOLEAN: "BOOLEAN",
    INT: "INT",
    BIGINT: "BIGINT",
    DOUBLE: "DOUBLE",
    FLOAT: "FLOAT",
    STRING: "TEXT",
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMPTZ",
    DECIMAL: "DECIMAL",
    INTERVAL: "INTERVAL",
    NULL: "NULL",
    OTHER: "VARBINARY",
}


def kind_of(node: exp.Expression) -> str:
    """The kind of an annotated expression; `UNKNOWN` before annotation."""
    return UNKNOWN if node.type is None else kind_of_type(node.type)


def kind_of_type(kind: Any) -> str:
    """The kind of a type of sqlglot's."""
    return _KINDS.get(kind.this.name, OTHER)


def digits_of(kind: Any) -> tuple[int, int] | None:
    """Precision and scale of a DECIMAL type of sqlglot's; None for other types, and where they are not known."""
    if kind is None or kind.this.name != "DECIMAL" or len(kind.expressions) != 2:
        return None
    precision, scale = (int(each.this.name) for each in kind.expressions)
    return precision, scale


def type_text(node: exp.Expression) -> str:
    """The Spark SQL type of an annotated expression, as text."""
    return str(node.type.sql(dialect="spark")).lower() if node.type is not None else UNKNOWN


def type_of(kind: str) -> Any:
    """sqlglot's type of a kind, or of a Spark SQL type with parameters: ``array<double>``, ``decimal(9, 2)``."""
    from sqlglot import exp

    if kind.endswith((">", ")")):
        return exp.DataType.build(kind, dialect="spark")
    return exp.DType[_TYPES.get(kind, "UNKNOWN")]


def common(kinds: Iterable[str]) -> str:
    """The kind in which branches of these kinds meet; `MIXED` when there is none that both engines agree on."""
    real = {kind for kind in kinds if kind != NULL}
    if not real:
        return NULL
    if UNKNOWN in real:
        return UNKNOWN
    if len(real) == 1:
        return real.pop()
    if real <= set(_NUMBERS):
        return max(real, key=_NUMBERS.index)
    return TIMESTAMP if real <= TIME else MIXED


def annotate(tree: exp.Expression, types: Mapping[str, Mapping[str, str]], rules: Mapping[str, Any]) -> None:
    """Give every expression of `tree` its type.

    Args:
        types: Table name, as the tree spells it -> column -> Spark SQL type; empty leaves columns `UNKNOWN`.
        rules: sqlglot class name -> function from a node with annotated children to its kind.
    """
    from sqlglot import exp
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.schema import MappingSchema
    from sqlglot.typing.spark import EXPRESSION_METADATA

    def annotator(rule: Any) -> Any:
        # sqlglot has no public way to set a type from a rule of one's own; its dialects do the same.
        return {"annotator": lambda self, node: self._set_type(node, type_of(rule(node)))}

    schema = MappingSchema({name: dict(columns) for name, columns in types.items()}, dialect="spark")
    metadata = {**EXPRESSION_METADATA, **{getattr(exp, name): annotator(rule) for name, rule in rules.items()}}
    annotate_types(tree, schema=schema, expression_metadata=metadata, dialect="spark")
