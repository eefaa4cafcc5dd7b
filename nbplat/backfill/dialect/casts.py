"""Casts: a table of from and to. ANSI, as Spark's: what does not fit raises."""

from __future__ import annotations

import re
from typing import Any

from nbplat.backfill.dialect.declaration import Call, Declared, SubsetEntry
from nbplat.backfill.dialect.kinds import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    FLOAT,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    digits_of,
    kind_of,
    type_of,
)

__all__ = ["CASTS", "CAST_ENTRIES", "CAST_TABLE", "DECIMAL_AS_DOUBLE"]

# A double goes to an integer by dropping its fraction; DuckDB would round.
_DROP = "CAST(TRUNC({0}) AS %s)"
_SECONDS = "CASE WHEN EPOCH_US({0}) >= 0 THEN EPOCH_US({0}) // 1000000 ELSE (EPOCH_US({0}) - 999999) // 1000000 END"
# Each engine reads texts that the other refuses; what both read alike is let through, the rest raises.
_READ = (
    "CASE WHEN {0} IS NULL OR REGEXP_FULL_MATCH({0}, '%s') THEN CAST({0} AS %s) ELSE error('CAST_INVALID_INPUT') END"
)
_NUMBER_TEXT = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|[+-]?Infinity"
_DATE_TEXT = r"\d{{4}}-\d{{2}}-\d{{2}}"
_TIME_TEXT = _DATE_TEXT + r"([ T]\d{{2}}:\d{{2}}:\d{{2}}(\.\d{{1,6}})?(Z|[+-]\d{{2}}:\d{{2}})?)?"

_TYPES = {INT: "INTEGER", BIGINT: "BIGINT", DOUBLE: "DOUBLE", STRING: "VARCHAR", BOOLEAN: "BOOLEAN", DATE: "DATE"}
_TYPES |= {TIMESTAMP: "TIMESTAMPTZ", FLOAT: "FLOAT"}
# A double beyond a float's range is an infinity in Spark; DuckDB would raise.
_NARROWED = (
    "CASE WHEN ISFINITE({0}) AND ABS({0}) >= 3.4028235677973366e38 "
    "THEN CAST(SIGN({0}) * CAST('inf' AS DOUBLE) AS FLOAT) ELSE CAST({0} AS FLOAT) END"
)

# Through its text a decimal becomes the nearest double; DuckDB's own way is off in the last bit.
DECIMAL_AS_DOUBLE = "CAST(CAST({0} AS VARCHAR) AS DOUBLE)"
_OF_DECIMAL = {
    INT: _DROP % "INTEGER",
    BIGINT: _DROP % "BIGINT",
    DOUBLE: DECIMAL_AS_DOUBLE,
    STRING: "CAST({0} AS VARCHAR)",
}

# From, to -> DuckDB expression; what is not here is refused.
CAST_TABLE: dict[tuple[str, str], str] = {
    **{
        (start, end): f"CAST({{0}} AS {_TYPES[end]})"
        for start, ends in {
            BOOLEAN: (BOOLEAN, INT, BIGINT, DOUBLE, STRING),
            INT: (BOOLEAN, INT, BIGINT, FLOAT, DOUBLE, STRING),
            BIGINT: (BOOLEAN, INT, BIGINT, FLOAT, DOUBLE, STRING),
            DOUBLE: (BOOLEAN, DOUBLE),
            STRING: (STRING,),
            DATE: (DATE, TIMESTAMP, STRING),
            TIMESTAMP: (TIMESTAMP, DATE),
            NULL: tuple(_TYPES),
            FLOAT: (FLOAT, DOUBLE),
            UNKNOWN: (DOUBLE, DATE, TIMESTAMP),
        }.items()
        for end in ends
    },
    (DOUBLE, FLOAT): _NARROWED,
    (DOUBLE, INT): _DROP % "INTEGER",
    (DOUBLE, BIGINT): _DROP % "BIGINT",
    (TIMESTAMP, BIGINT): _SECONDS,
    (INT, TIMESTAMP): "MAKE_TIMESTAMPTZ(CAST({0} AS BIGINT) * 1000000)",
    (BIGINT, TIMESTAMP): "MAKE_TIMESTAMPTZ({0} * 1000000)",
    (STRING, DOUBLE): _READ % (_NUMBER_TEXT, "DOUBLE"),
    (STRING, DATE): _READ % (_DATE_TEXT, "DATE"),
    (STRING, TIMESTAMP): _READ % (_TIME_TEXT, "TIMESTAMPTZ"),
    **{
        (UNKNOWN, end): "CASE typeof({0}) "
        f"WHEN 'DOUBLE' THEN CAST(TRUNC(CAST({{0}} AS DOUBLE)) AS {_TYPES[end]}) "
        f"WHEN 'VARCHAR' THEN error('CAST_OF_STRING') ELSE CAST({{0}} AS {_TYPES[end]}) END"
        for end in (INT, BIGINT)
    },
}


def _target(call: Call) -> str:
    # The node's own type is its target; a type that the subset does not know stays what it is.
    return _kind_of_type(call.node.args["to"])


def _target_text(call: Call) -> str:
    """The target for the annotation, parameters included."""
    to = call.node.args["to"]
    return str(to.sql(dialect="spark")).lower() if to.expressions else _target(call)


def _source(call: Call) -> str:
    return kind_of(call.arguments[0])


def _elements(call: Call) -> tuple[str, str] | None:
    """Kinds of the elements before and after, for a cast of an array to an array; else None."""
    kinds = [each.expressions[0] for each in (call.arguments[0].type, call.node.args["to"]) if _is_array(each)]
    return (_kind_of_type(kinds[0]), _kind_of_type(kinds[1])) if len(kinds) == 2 else None


def _is_array(kind: Any) -> bool:
    return kind is not None and kind.this.name == "ARRAY" and bool(kind.expressions)


def _kind_of_type(kind: Any) -> str:
    from sqlglot import exp

    probe = exp.Null()
    probe.type = kind
    return kind_of(probe)


def _written_decimal(call: Call) -> bool:
    from sqlglot import exp

    node = call.arguments[0].unnest()
    node = node.this.unnest() if isinstance(node, exp.Neg) else node
    return isinstance(node, exp.Literal)


def _cast(call: Call) -> str:
    if elements := _elements(call):
        return f"LIST_TRANSFORM({{0}}, lambda nb_each: {CAST_TABLE[elements].format('nb_each')})"
    source, target = _source(call), _target(call)
    if target == DECIMAL:
        precision, scale = digits_of(call.node.args["to"]) or (0, 0)
        return f"CAST({{0}} AS DECIMAL({precision}, {scale}))"
    if source == DECIMAL and not _written_decimal(call):
        return _OF_DECIMAL[target]
    if source == DECIMAL:
        return (_DROP if target in (INT, BIGINT) else "CAST({0} AS %s)") % _TYPES[target]
    if source == STRING and call.text(0) is not None:
        return f"CAST({{0}} AS {_TYPES[target]})"
    return CAST_TABLE[source, target]


def _refuses(call: Call) -> str | None:
    source, target = _source(call), _target(call)
    named = call.node.args["to"].sql(dialect="spark").lower()
    if call.node.args.get("safe"):
        return "try_cast is outside the subset"
    if elements := _elements(call):
        return (
            None
            if elements in CAST_TABLE
            else f"a cast of {elements[0]} elements to {elements[1]} is outside the subset"
        )
    if target == DECIMAL:
        fits = source in (INT, BIGINT, DECIMAL) and digits_of(call.node.args["to"]) is not None
        return None if fits else f"a cast of {source} to {named} is outside the subset: cast to bigint first"
    if source == DECIMAL and target in _OF_DECIMAL and not _written_decimal(call):
        return None
    if target not in _TYPES or named != target:
        return f"a cast to {named} is outside the subset: cast to {', '.join(_TYPES)}"
    if source == DECIMAL and target in (INT, BIGINT, DOUBLE) and _written_decimal(call):
        return None
    text = call.text(0)
    pattern = {DATE: _DATE_TEXT, TIMESTAMP: _TIME_TEXT, DOUBLE: _NUMBER_TEXT}.get(target)
    if text is not None and pattern and not re.fullmatch(pattern.replace("{{", "{").replace("}}", "}"), text):
        return f"{text!r} is not written as an ISO {target}" if target != DOUBLE else f"{text!r} is no number"
    if (source, target) not in CAST_TABLE:
        known = ", ".join(end for end in _TYPES if (source, end) in CAST_TABLE)
        return f"a cast of {source} to {target} is outside the subset" + (
            f": {source} goes to {known}" if known else ""
        )
    return None


def _to_date(call: Call) -> Call:
    """The same as a cast to date."""
    from sqlglot import exp

    node = exp.Cast(this=call.arguments[0].copy(), to=exp.DataType(this=type_of(DATE)))
    return Call(node, call.arguments)


CASTS: tuple[Declared, ...] = (
    *(
        Declared(
            ("cast",),
            node,
            "cast(value as type)",
            (),
            _target_text,
            _cast,
            ignore=("to", "safe", "format", "action"),
            refuse=_refuses,
            group="cast",
        )
        for node in ("Cast", "TryCast")  # the parser reads Spark's CAST as either
    ),
    Declared(
        ("to_date", "date"),
        "TsOrDsToDate",
        "to_date(string | date | timestamp) -> date",
        (),
        DATE,
        lambda call: _cast(_to_date(call)),
        ignore=("safe",),
        refuse=lambda call: _refuses(_to_date(call)),
        note="Without a format.",
    ),
)

_NOTES = {
    (STRING, DOUBLE): "Numbers, NaN, Infinity; other text raises.",
    (STRING, DATE): "yyyy-MM-dd; other text raises.",
    (STRING, TIMESTAMP): "yyyy-MM-dd, or with HH:mm:ss[.ffffff] and an offset; UTC without one. Also to_timestamp(x).",
    (DOUBLE, INT): "The fraction is dropped; what does not fit raises.",
    (DOUBLE, BIGINT): "The fraction is dropped; what does not fit raises.",
    (DOUBLE, FLOAT): "Beyond a float's range it is an infinity, as in Spark.",
    (TIMESTAMP, BIGINT): "Seconds, rounded down.",
    (BIGINT, TIMESTAMP): "Of seconds; beyond the range it raises, where Spark takes the last instant.",
}

CAST_ENTRIES: tuple[SubsetEntry, ...] = (
    *(
        SubsetEntry("cast", f"{start} to {end}", f"cast({start} as {end})", _NOTES.get((start, end), ""))
        for start, end in CAST_TABLE
        if start not in (UNKNOWN, NULL) and start != end
    ),
    SubsetEntry("cast", "int, bigint, decimal to decimal", "cast(i as decimal(9, 2))", "What does not fit raises."),
    SubsetEntry("cast", "decimal to int, bigint, double, string", "cast(x as double)", "A fraction is dropped."),
    SubsetEntry("cast", "array to array", "cast(array<double> as array<float>)", "Where the elements' cast is here."),
)
