"""Functions of numbers."""

from __future__ import annotations

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import BIGINT, BOOLEAN, DOUBLE, INTEGER, NUMBER, UNKNOWN

__all__ = ["NUMBERS"]

# The JVM's and the C library's results may differ in the last bit.
_LAST_BIT = 4e-15

# Halves go away from zero on the shortest decimal text of the double, as Java's BigDecimal does it.
_ROUND_DIGITS = (
    "CASE WHEN ABS({0}) < 1e17 THEN CAST(ROUND(CAST(CAST({0} AS VARCHAR) AS DECIMAL(38, 20)), {1}) AS DOUBLE) "
    "ELSE {0} END"
)

_FLOOR = (
    "CASE WHEN ISNAN({0}) THEN CAST(0 AS BIGINT) WHEN {0} >= 9223372036854775807 THEN 9223372036854775807 "
    "WHEN {0} <= -9223372036854775808 THEN CAST('-9223372036854775808' AS BIGINT) "
    "ELSE CAST(%s({0}) AS BIGINT) END"
)
_FLOOR_OF_ANY = "CASE WHEN typeof({0}) <> 'DOUBLE' THEN TRY_CAST({0} AS BIGINT) " + _FLOOR.removeprefix("CASE ")


def _whole_part(function: str) -> Declared:
    def rewrite(call: Call) -> str:
        if call.kinds[0] in INTEGER:
            return "CAST({0} AS BIGINT)"
        return (_FLOOR_OF_ANY if call.kinds[0] == UNKNOWN else _FLOOR) % function

    names = ("floor",) if function == "FLOOR" else ("ceil", "ceiling")
    return Declared(
        names,
        function.capitalize(),
        f"{names[0]}(number) -> bigint",
        (NUMBER,),
        BIGINT,
        rewrite,
        note="NaN gives 0 and an infinity the nearest bigint, as in Spark.",
    )


def _round(call: Call) -> str:
    digits = call.whole(1)
    if call.kinds[0] in INTEGER:
        # Digits after the point change no integer, and nothing rounds a literal's type away.
        return "{0}" if (digits or 0) >= 0 else "ROUND({0}, {1})"
    return "(ROUND({0}) + CAST(0 AS DOUBLE))" if digits is None else _ROUND_DIGITS


def _round_refuses(call: Call) -> str | None:
    if len(call.arguments) > 1 and (call.whole(1) is None or abs(call.whole(1) or 0) > 15):
        return "the number of digits must be an integer literal from -15 to 15"
    if call.kinds[0] == UNKNOWN:
        return "the type of its argument is not known: write round(cast(x as double))"
    return None


def _log_refuses(call: Call) -> str | None:
    return None if call.whole(0) in (2, 10) else "only log2(x), log10(x), ln(x) and log(x) are in the subset"


def _same(call: Call) -> str:
    return call.kinds[0]


def _double(*names: str, node: str, duckdb: str, tolerance: float = 0.0, note: str = "") -> Declared:
    signature = f"{names[0]}(number) -> double"
    return Declared(names, node, signature, (NUMBER,), DOUBLE, duckdb, tolerance=tolerance, note=note)


_BELOW_ZERO = "Zero and below give null, as in Spark."

NUMBERS: tuple[Declared, ...] = (
    Declared(("abs",), "Abs", "abs(number) -> same", (NUMBER,), _same, "ABS({0})"),
    _whole_part("FLOOR"),
    _whole_part("CEIL"),
    Declared(
        ("round",),
        "Round",
        "round(number [, digits]) -> same",
        (NUMBER, INTEGER),
        _same,
        _round,
        slots=("this", "decimals"),
        refuse=_round_refuses,
        note="Digits are a literal from -15 to 15. Of a sum or average of doubles, a tie may fall to the other side.",
    ),
    _double(
        "sign",
        "signum",
        node="Sign",
        duckdb="CASE WHEN ISNAN({0}) OR {0} = 0 THEN CAST({0} AS DOUBLE) ELSE CAST(SIGN({0}) AS DOUBLE) END",
    ),
    _double("sqrt", node="Sqrt", duckdb="SQRT({0})"),
    _double("cbrt", node="Cbrt", duckdb="CBRT({0})", tolerance=_LAST_BIT),
    _double("exp", node="Exp", duckdb="EXP({0})", tolerance=_LAST_BIT),
    _double(
        "ln",
        "log",
        node="Ln",
        duckdb="CASE WHEN {0} <= 0 THEN NULL ELSE LN({0}) END",
        tolerance=_LAST_BIT,
        note=_BELOW_ZERO,
    ),
    Declared(
        ("log10", "log2"),
        "Log",
        "log10(number) -> double",
        (NUMBER,),
        DOUBLE,
        lambda call: f"CASE WHEN {{1}} <= 0 THEN NULL ELSE LOG{call.whole(0)}({{1}}) END",
        slots=("this", "expression"),
        refuse=_log_refuses,
        tolerance=_LAST_BIT,
        note=_BELOW_ZERO,
    ),
    Declared(
        ("power", "pow"),
        "Pow",
        "power(number, number) -> double",
        (NUMBER,),
        DOUBLE,
        "CASE WHEN ISNAN({1}) OR (ISINF({1}) AND ABS({0}) = 1) THEN {0} + CAST('nan' AS DOUBLE) "
        "ELSE POWER({0}, {1}) END",
        slots=("this", "expression"),
        tolerance=_LAST_BIT,
    ),
    _double("tanh", node="Tanh", duckdb="TANH({0})", tolerance=_LAST_BIT),
    _double("atan", node="Atan", duckdb="ATAN({0})", tolerance=_LAST_BIT),
    _double("radians", node="Radians", duckdb="RADIANS({0})", tolerance=_LAST_BIT),
    _double("degrees", node="Degrees", duckdb="DEGREES({0})", tolerance=_LAST_BIT),
    Declared(("pi",), "Pi", "pi() -> double", (), DOUBLE, "PI()", slots=()),
    Declared(("isnan",), "IsNan", "isnan(number) -> boolean", (NUMBER,), BOOLEAN, "COALESCE(ISNAN({0}), FALSE)"),
    Declared(
        ("nanvl",),
        "Nanvl",
        "nanvl(number, number) -> double",
        (NUMBER,),
        DOUBLE,
        "CASE WHEN ISNAN({0}) THEN CAST({1} AS DOUBLE) ELSE CAST({0} AS DOUBLE) END",
        slots=("this", "expression"),
    ),
    Declared(
        ("pmod",),
        "Anonymous",
        "pmod(integer, integer) -> integer",
        (INTEGER,),
        lambda call: BIGINT if BIGINT in call.kinds else call.kinds[0],
        "CASE WHEN {1} = 0 AND {0} IS NOT NULL THEN error('REMAINDER_BY_ZERO') WHEN {1} = -1 THEN {0} - {0} "
        "WHEN {0} % {1} < 0 THEN ({0} % {1} + {1}) % {1} ELSE {0} % {1} END",
        slots=("expressions",),
    ),
)
