"""Operators: arithmetic with Spark's ANSI errors, logic, patterns, intervals; with those of `comparisons`."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.dialect.comparisons import COMPARISONS
from nbplat.backfill.dialect.declaration import Call, Declared, SubsetEntry
from nbplat.backfill.dialect.kinds import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    INT,
    INTEGER,
    INTERVAL,
    NULL,
    NUMBER,
    STRING,
    TEXT,
    TIME,
    TIMESTAMP,
    TRUTH,
    UNKNOWN,
    common,
)

__all__ = ["INTERVAL_UNITS", "OPERATORS", "OPERATOR_ENTRIES"]

_BOTH = ("this", "expression")
_DAYS = frozenset({"DAY", "WEEK", "MONTH", "YEAR"})
INTERVAL_UNITS = _DAYS | {"HOUR", "MINUTE", "SECOND"}


def _wider(call: Call) -> str:
    if INTERVAL in call.kinds:
        return _moved(call)
    if set(call.kinds) == {DATE, INT}:
        return DATE
    return common(call.kinds)


def _moved(call: Call) -> str:
    """The kind of a time moved by an interval."""
    moved = next((kind for kind in call.kinds if kind != INTERVAL), UNKNOWN)
    if moved == DATE:
        return DATE if _interval(call).text("unit").upper().rstrip("S") in _DAYS else TIMESTAMP
    return moved


def _interval(call: Call) -> Any:
    from sqlglot import exp

    return next(side for side in call.arguments if isinstance(side, exp.Interval))


def _sum_refuses(call: Call) -> str | None:
    """For + and -: numbers, a date and days, a time and an interval."""
    from sqlglot import exp

    left, right = call.kinds
    minus = isinstance(call.node, exp.Sub)
    if INTERVAL in call.kinds:
        if not isinstance(call.arguments[1], exp.Interval) and (
            minus or not isinstance(call.arguments[0], exp.Interval)
        ):
            return "an interval is added to or taken from a date or timestamp, and is written out"
        moved = left if isinstance(call.arguments[1], exp.Interval) else right
        return None if moved in TIME | {UNKNOWN, NULL} else f"an interval does not move a {moved}"
    if left in TIME and right in TIME:
        return "the difference of two times is an interval: use datediff or timestampdiff"
    if left == DATE and right == INT:
        return None
    if (left in TIME or right in TIME) and UNKNOWN not in call.kinds:
        return "a date moves by an int or an interval only"
    return _numbers_only(call)


def _numbers_only(call: Call) -> str | None:
    wrong = sorted(set(call.kinds) - NUMBER - {DECIMAL, NULL, UNKNOWN})
    return f"it takes numbers, and one side is {wrong[0]}" if wrong else None


def _sum(call: Call) -> str:
    from sqlglot import exp

    sign = "-" if isinstance(call.node, exp.Sub) else "+"
    if INTERVAL in call.kinds and DATE in call.kinds:
        return f"CAST({{0}} {sign} {{1}} AS {'DATE' if _moved(call) == DATE else 'TIMESTAMPTZ'})"
    return f"({{0}} {sign} {{1}})"


def _nonzero(call: Call) -> bool:
    return bool(call.whole(1))


def _divide(call: Call) -> str:
    quotient = "CAST({0} AS DOUBLE) / CAST({1} AS DOUBLE)"
    if _nonzero(call):
        return f"({quotient})"
    return f"CASE WHEN {{1}} = 0 AND {{0}} IS NOT NULL THEN error('DIVIDE_BY_ZERO') ELSE {quotient} END"


def _whole_quotient(call: Call) -> str:
    quotient = "CAST({0} AS BIGINT) // {1}"
    if _nonzero(call):
        return f"({quotient})"
    return f"CASE WHEN {{1}} = 0 AND {{0}} IS NOT NULL THEN error('DIVIDE_BY_ZERO') ELSE {quotient} END"


def _remainder(call: Call) -> str:
    if _nonzero(call) and call.whole(1) != -1:
        return "({0} % {1})"
    # DuckDB raises on the smallest integer % -1, which is 0.
    minus_one = "WHEN {1} = -1 THEN {0} - {0} " if set(call.kinds) <= INTEGER else ""
    return (
        f"CASE WHEN {{1}} = 0 AND {{0}} IS NOT NULL THEN error('REMAINDER_BY_ZERO') {minus_one}ELSE {{0}} % {{1}} END"
    )


def _pattern_refuses(call: Call) -> str | None:
    # Spark allows a backslash before % and _ only, and only there it escapes.
    return None if "\\" not in (call.text(1) or "\\") else "the pattern must be a literal without a backslash"


def _arithmetic(name: str, node: str, takes: frozenset[str], gives: Any, duckdb: Any, refuse: Any = None) -> Declared:
    return Declared(
        (name,),
        node,
        name,
        (takes,),
        gives,
        duckdb,
        slots=_BOTH,
        ignore=("safe", "typed"),
        refuse=refuse,
        group="operator",
    )


_ARITHMETIC = NUMBER | {DECIMAL, INTERVAL} | TIME | TEXT | TRUTH

OPERATORS: tuple[Declared, ...] = (
    _arithmetic("+", "Add", _ARITHMETIC, _wider, _sum, _sum_refuses),
    _arithmetic("-", "Sub", _ARITHMETIC, _wider, _sum, _sum_refuses),
    _arithmetic("*", "Mul", _ARITHMETIC, _wider, "({0} * {1})", _numbers_only),
    _arithmetic("/", "Div", _ARITHMETIC, DOUBLE, _divide, _numbers_only),
    _arithmetic("%", "Mod", _ARITHMETIC, _wider, _remainder, _numbers_only),
    _arithmetic(
        "div",
        "IntDiv",
        INTEGER,
        BIGINT,
        _whole_quotient,
    ),
    Declared(
        ("- (sign)",), "Neg", "-x", (NUMBER | {DECIMAL},), lambda call: call.kinds[0], slots=("this",), group="operator"
    ),
    *COMPARISONS,
    *(
        Declared((name,), node, name, (TRUTH,), BOOLEAN, slots=slots, group="operator")
        for name, node, slots in (("and", "And", _BOTH), ("or", "Or", _BOTH), ("not", "Not", ("this",)))
    ),
    *(
        Declared(
            (name,),
            node,
            name,
            (TEXT,),
            BOOLEAN,
            slots=_BOTH,
            ignore=("negate",),
            refuse=_pattern_refuses,
            group="operator",
        )
        for name, node in (("like", "Like"), ("ilike", "ILike"))
    ),
    Declared(
        ("||",),
        "DPipe",
        "||",
        (TEXT | INTEGER | {DATE},),
        STRING,
        "(CAST({0} AS VARCHAR) || CAST({1} AS VARCHAR))",
        slots=_BOTH,
        ignore=("safe",),
        group="operator",
    ),
    Declared(("exists",), "Exists", "exists (select …)", (), BOOLEAN, slots=(), ignore=("this",), group="operator"),
)


def _entry(names: str, signature: str, notes: str = "") -> SubsetEntry:
    return SubsetEntry("operator", names, signature, notes)


OPERATOR_ENTRIES: tuple[SubsetEntry, ...] = (
    _entry("+, -, *", "number, number -> wider type", "Integer overflow raises. Decimals are outside: write 1.5D."),
    _entry("+, -", "date, int -> date", "Days."),
    _entry(
        "± interval",
        "date | timestamp ± interval n unit",
        "n is a literal; units year, month, week, day, hour, minute, second. A date moved by hours is a timestamp.",
    ),
    _entry("/", "number / number -> double", "Zero raises DIVIDE_BY_ZERO; null over zero is null."),
    _entry("%, mod", "number, number -> wider type", "Zero raises REMAINDER_BY_ZERO."),
    _entry("div", "integer div integer -> bigint", "Towards zero; zero raises."),
    _entry(
        "=, <>, <, <=, >, >=, <=>, is distinct from",
        "value, value -> boolean",
        "Values of one type, numbers, dates and timestamps, or a time and an ISO string literal. "
        "NaN equals NaN and is the greatest number. A float beside another number, and a decimal beside a float or "
        "double, are compared as doubles.",
    ),
    _entry("and, or, not", "boolean -> boolean", "Three-valued."),
    _entry("is null, is true, is false", "value is [not] null"),
    _entry("in, between", "value in (…), value between a and b", "Subqueries too; nulls as in Spark."),
    _entry("like, ilike", "string like 'pattern' -> boolean", "The pattern is a literal without a backslash."),
    _entry("||", "string || string -> string", "As concat."),
    _entry("exists", "[not] exists (select …)"),
)
