"""Aggregates and window functions."""

from __future__ import annotations

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import (
    ANY,
    BIGINT,
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    FLOAT,
    INT,
    INTEGER,
    MIXED,
    NUMBER,
    OTHER,
    TRUTH,
    UNKNOWN,
    common,
    digits_of,
    type_text,
)

__all__ = ["AGGREGATES", "RANKINGS"]

_MOST_DIGITS = 38
_SUM = 1e-12  # relative; the order of additions differs
_SUM_NOTE = "Doubles are added in another order than Spark's."


def _total(call: Call) -> str:
    kind = call.kinds[0]
    if digits := _total_digits(call):
        return f"decimal({digits[0]}, {digits[1]})"
    return kind if kind in (DOUBLE, UNKNOWN) else BIGINT


def _total_digits(call: Call) -> tuple[int, int] | None:
    digits = digits_of(call.arguments[0].type)
    return (min(_MOST_DIGITS, digits[0] + 10), digits[1]) if digits else None


def _total_cast(call: Call) -> str | None:
    if digits := _total_digits(call):
        return f"DECIMAL({digits[0]}, {digits[1]})"
    return "BIGINT" if call.kinds[0] in INTEGER else None


def _total_refuses(call: Call) -> str | None:
    if call.kinds[0] == DECIMAL and _total_digits(call) is None:
        return "a decimal whose digits are not known: cast it to decimal(p, s)"
    return None


def _count_refuses(call: Call) -> str | None:
    from sqlglot import exp

    if len(call.arguments) > 1 and not isinstance(call.node.this, exp.Distinct):
        return "several columns are counted with DISTINCT only"
    return None


def _aggregate(
    names: tuple[str, ...], node: str, signature: str, takes: frozenset[str], gives: str, **rest: object
) -> Declared:
    return Declared(names, node, signature, (takes,), gives, group="aggregate", **rest)  # type: ignore[arg-type]


def _spread(*names: str, node: str, duckdb: str) -> Declared:
    return _aggregate(
        names,
        node,
        f"{names[0]}(number) -> double",
        NUMBER,
        DOUBLE,
        duckdb=duckdb,
        tolerance=_SUM,
        note="Beyond 1e150, where squares leave the range of doubles, the results differ.",
    )


AGGREGATES: tuple[Declared, ...] = (
    Declared(
        ("count",),
        "Count",
        "count(* | value | distinct value, …) -> bigint",
        (ANY | {DECIMAL, FLOAT, OTHER},),
        BIGINT,
        slots=("this", "expressions"),
        ignore=("big_int",),
        refuse=_count_refuses,
        group="aggregate",
        distinct=True,
        over=True,
    ),
    _aggregate(
        ("count_if",),
        "CountIf",
        "count_if(boolean) -> bigint",
        TRUTH,
        BIGINT,
        duckdb="COUNT(CASE WHEN {0} THEN 1 END)",
        over=True,
    ),
    Declared(
        ("sum",),
        "Sum",
        "sum([distinct] number) -> bigint | double | decimal(p + 10, s)",
        (NUMBER | {DECIMAL},),
        _total,
        cast=_total_cast,
        refuse=_total_refuses,
        group="aggregate",
        distinct=True,
        over=True,
        tolerance=_SUM,
        note=f"Integers are exact; a total beyond bigint raises. {_SUM_NOTE}",
    ),
    _aggregate(
        ("avg",),
        "Avg",
        "avg(number) -> double",
        NUMBER,
        DOUBLE,
        duckdb="AVG(CAST({0} AS DOUBLE))",
        over=True,
        tolerance=_SUM,
        note=_SUM_NOTE,
    ),
    *(
        Declared(
            (name,),
            name.capitalize(),
            f"{name}(value) -> same",
            (ANY | {DECIMAL},),
            lambda call: type_text(call.arguments[0]) if call.kinds[0] == DECIMAL else call.kinds[0],
            f"{name.upper()}({{0}})",
            group="aggregate",
            over=True,
            note="NaN is the greatest number.",
        )
        for name in ("max", "min")
    ),
    _spread("stddev", node="Stddev", duckdb="STDDEV_SAMP({0})"),
    _spread("stddev_samp", node="StddevSamp", duckdb="STDDEV_SAMP({0})"),
    _spread("stddev_pop", node="StddevPop", duckdb="STDDEV_POP({0})"),
    _spread("variance", "var_samp", node="Variance", duckdb="VAR_SAMP({0})"),
    _spread("var_pop", node="VariancePop", duckdb="VAR_POP({0})"),
    _aggregate(("median",), "Median", "median(number) -> double", NUMBER, DOUBLE, duckdb="MEDIAN({0})", tolerance=_SUM),
    _aggregate(("bool_and",), "LogicalAnd", "bool_and(boolean) -> boolean", TRUTH, BOOLEAN, duckdb="BOOL_AND({0})"),
    _aggregate(("bool_or",), "LogicalOr", "bool_or(boolean) -> boolean", TRUTH, BOOLEAN, duckdb="BOOL_OR({0})"),
)

_TOTAL = "Equal on every run where the ordering has no ties."


def _rank(
    name: str, node: str, gives: str = INT, slots: tuple[str, ...] = (), takes: frozenset[str] = INTEGER
) -> Declared:
    return Declared(
        (name,),
        node,
        f"{name}({'n' if slots else ''}) over (… order by …) -> {gives}",
        (takes,),
        gives,
        cast="INTEGER" if gives == INT else None,
        slots=slots,
        group="window",
        over=True,
        refuse=lambda call: "the number of tiles must be a literal" if slots and not call.whole(0) else None,
        note=_TOTAL if name in ("row_number", "ntile") else "",
    )


def _neighbour_refuses(call: Call) -> str | None:
    if len(call.arguments) > 1 and (call.whole(1) is None or (call.whole(1) or 0) < 0):
        return "the offset must be a literal, 0 or more"
    if len(call.arguments) > 2 and common((call.kinds[0], call.kinds[2])) not in (call.kinds[0], UNKNOWN):
        return f"the default is of another type ({MIXED})"
    return None


RANKINGS: tuple[Declared, ...] = (
    _rank("row_number", "RowNumber"),
    _rank("rank", "Rank"),
    _rank("dense_rank", "DenseRank"),
    _rank("percent_rank", "PercentRank", DOUBLE),
    _rank("ntile", "Ntile", slots=("this",)),
    *(
        Declared(
            (name,),
            name.capitalize(),
            f"{name}(value [, offset [, default]]) over (… order by …) -> same",
            (ANY,),
            lambda call: call.kinds[0],
            slots=("this", "offset", "default"),
            group="window",
            over=True,
            refuse=_neighbour_refuses,
            note=f"The offset is a literal. {_TOTAL}",
        )
        for name in ("lag", "lead")
    ),
)
