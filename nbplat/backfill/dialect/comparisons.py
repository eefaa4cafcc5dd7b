"""Comparisons: which values both engines compare alike, and the type in which Spark compares numbers of two types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbplat.backfill.dialect.casts import DECIMAL_AS_DOUBLE
from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import (
    ANY,
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    FLOAT,
    INTEGER,
    INTERVAL,
    MIXED,
    NULL,
    OTHER,
    STRING,
    TIME,
    common,
    kind_of,
)

__all__ = ["COMPARISONS", "incomparable"]

_BOTH = ("this", "expression")
_COMPARED = ANY | {DECIMAL, FLOAT, INTERVAL, OTHER}  # told apart by `incomparable`, with the better message


def incomparable(sides: Sequence[Any], *, floats: bool = False) -> str | None:
    """Say why values are not compared alike by both engines; None when they are.

    Args:
        floats: They are compared in the types that `_as_spark` gives them.
    """
    if floats and (lossy := next(filter(_float_of_integer, sides), None)) is not None:
        text = lossy.unnest().this.sql(dialect="spark")
        return f"Spark's optimizer leaves that float out beside a double: cast({text} as double)"
    kinds = [DOUBLE if floats and kind == FLOAT else kind for kind in map(kind_of, sides)]
    if {OTHER, FLOAT, INTERVAL} & set(kinds):
        return "only numbers, strings, booleans, dates and timestamps are compared here: cast the column"
    if common(kinds) != MIXED:
        return None
    times = [kind for kind in kinds if kind != STRING]
    written = all(side.unnest().is_string for side, kind in zip(sides, kinds, strict=True) if kind == STRING)
    if written and common(times) in TIME:
        return None
    return f"it compares {' with '.join(sorted(set(kinds) - {NULL}))}: cast one side"


def _float_of_integer(side: Any) -> bool:
    """It takes the float between an integer and a double for the wider type that it is not."""
    from sqlglot import exp

    bare = side.unnest()
    return isinstance(bare, exp.Cast) and kind_of(bare) == FLOAT and kind_of(bare.this) in INTEGER


def _comparable(call: Call) -> str | None:
    return incomparable(call.arguments, floats=True)


def _as_spark(call: Call, places: Sequence[int]) -> list[str] | None:
    """These arguments as templates, in the type in which Spark compares them; None where DuckDB takes it by itself.

    A float beside a number of another type, and a decimal beside a float or double, are doubles in Spark (ANSI).
    DuckDB would make a float of the other side.
    """
    kinds = {call.kinds[at] for at in places}
    if FLOAT not in kinds and not {DECIMAL, DOUBLE} <= kinds:
        return None
    casts = {FLOAT: "CAST({0} AS DOUBLE)", DECIMAL: DECIMAL_AS_DOUBLE}
    return [casts.get(call.kinds[at], "{0}").replace("{0}", f"{{{at}}}") for at in places]


def _two(sign: str) -> Callable[[Call], str | None]:
    def written(call: Call) -> str | None:
        sides = _as_spark(call, (0, 1))
        return sides and f"({sides[0]} {sign} {sides[1]})"  # type: ignore[return-value]

    return written


def _between(call: Call) -> str | None:
    """Each end is compared in a type of its own, as in Spark."""
    pairs = [_as_spark(call, (0, at)) for at in (1, 2)]
    if not any(pairs):
        return None
    low, high = (pair or ["{0}", f"{{{at}}}"] for at, pair in enumerate(pairs, 1))
    return f"({low[0]} >= {low[1]} AND {high[0]} <= {high[1]})"


def _in(call: Call) -> str | None:
    if call.node.args.get("query") is not None:
        return None
    sides = _as_spark(call, range(len(call.kinds)))
    return sides and f"({sides[0]} IN ({', '.join(sides[1:])}))"  # type: ignore[return-value]


def _of_in(node: Any) -> list[Any]:
    query = node.args.get("query")
    return [node.this, query.unnest().selects[0]] if query is not None else [node.this, *node.expressions]


def _in_refuses(call: Call) -> str | None:
    query = call.node.args.get("query")
    if query is not None and len(query.unnest().selects) != 1:
        return "the subquery must return one column"
    return incomparable(call.arguments, floats=query is None)


def _is_refuses(call: Call) -> str | None:
    from sqlglot import exp

    return None if isinstance(call.arguments[1], (exp.Null, exp.Boolean)) else "only IS [NOT] NULL, TRUE and FALSE"


def _compares(name: str, node: str, sign: str) -> Declared:
    return Declared(
        (name,), node, name, (_COMPARED,), BOOLEAN, _two(sign), slots=_BOTH, refuse=_comparable, group="operator"
    )


COMPARISONS: tuple[Declared, ...] = (
    *(
        _compares(name, node, sign)
        for name, node, sign in (
            ("=", "EQ", "="),
            ("<>", "NEQ", "<>"),
            ("<", "LT", "<"),
            ("<=", "LTE", "<="),
            (">", "GT", ">"),
            (">=", "GTE", ">="),
            ("<=>", "NullSafeEQ", "IS NOT DISTINCT FROM"),
            ("is distinct from", "NullSafeNEQ", "IS DISTINCT FROM"),
        )
    ),
    Declared(
        ("is",),
        "Is",
        "is [not] null | true | false",
        (_COMPARED,),
        BOOLEAN,
        slots=_BOTH,
        refuse=_is_refuses,
        group="operator",
    ),
    Declared(
        ("in",),
        "In",
        "in (…)",
        (_COMPARED,),
        BOOLEAN,
        _in,
        slots=_of_in,
        ignore=("query", "expressions", "this"),
        refuse=_in_refuses,
        group="operator",
    ),
    Declared(
        ("between",),
        "Between",
        "between … and …",
        (_COMPARED,),
        BOOLEAN,
        _between,
        slots=("this", "low", "high"),
        refuse=_comparable,
        group="operator",
    ),
)
