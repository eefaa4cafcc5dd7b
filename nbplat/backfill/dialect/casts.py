"""Casts: a table of from and to. ANSI, as Spark's: what does not fit raises."""

from __future__ import annotations

import re

from nbplat.backfill.dialect.declaration import Call, Declared, SubsetEntry
from nbplat.backfill.dialect.kinds import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    kind_of,
    type_of,
)

__all__ = ["CASTS", "CAST_ENTRIES", "CAST_TABLE"]

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
_TYPES |= {TIMESTAMP: "TIMESTAMPTZ"}

# From, to -> DuckDB expression; what is not here is refused.
CAST_TABLE: dict[tuple[str, str], str] = {
    **{
        (start, end): f"CAST({{0}} AS {_TYPES[end]})"
        for start, ends in {
            BOOLEAN: (BOOLEAN, INT, BIGINT, DOUBLE, STRING),
            INT: (BOOLEAN, INT, BIGINT, DOUBLE, STRING),
            BIGINT: (BOOLEAN, INT, BIGINT, DOUBLE, STRING),
            DOUBLE: (BOOLEAN, DOUBLE),
            STRING: (STRING,),
            DATE: (DATE, TIMESTAMP, STRING),
            TIMESTAMP: (TIMESTAMP, DATE),
            NULL: tuple(_TYPES),
            "float": (DOUBLE,),
            UNKNOWN: (DOUBLE, DATE, TIMESTAMP),
        }.items()
        for end in ends
    },
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
    from sqlglot import exp

    # The node's own type is its target; a type that the subset does not know stays what it is.
    probe = exp.Null()
    probe.type = call.node.args["to"]
    return kind_of(probe)


def _source(call: Call) -> str:
    argument = call.arguments[0]
    if argument.type is not None and argument.type.this.name == "FLOAT":
        return "float"
    return kind_of(argument)


def _written_decimal(call: Call) -> bool:
    from sqlglot import exp

    node = call.arguments[0].unnest()
    node = node.this.unnest() if isinstance(node, exp.Neg) else node
    return isinstance(node, exp.Literal)


def _cast(call: Call) -> str:
    source, target = _source(call), _target(call)
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
            _target,
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
    (TIMESTAMP, BIGINT): "Seconds, rounded down.",
    (BIGINT, TIMESTAMP): "Of seconds; beyond the range it raises, where Spark takes the last instant.",
}

CAST_ENTRIES: tuple[SubsetEntry, ...] = tuple(
    SubsetEntry("cast", f"{start} to {end}", f"cast({start} as {end})", _NOTES.get((start, end), ""))
    for start, end in CAST_TABLE
    if start not in (UNKNOWN, NULL) and start != end
)
