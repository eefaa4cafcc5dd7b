"""Functions of strings."""

from __future__ import annotations

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import BOOLEAN, DATE, INT, INTEGER, STRING, TEXT

__all__ = ["TEXTS"]

_JOINED = TEXT | INTEGER | {DATE}


def _text(*names: str, node: str, duckdb: str, signature: str = "", note: str = "") -> Declared:
    return Declared(names, node, signature or f"{names[0]}(string) -> string", (TEXT,), STRING, duckdb, note=note)


def _tests(name: str, node: str, duckdb: str) -> Declared:
    return Declared(
        (name,), node, f"{name}(string, string) -> boolean", (TEXT,), BOOLEAN, duckdb, slots=("this", "expression")
    )


def _count_refuses(call: Call) -> str | None:
    return (
        None if (call.whole(1) or 0) >= 0 and call.whole(1) is not None else "the length must be a literal, 0 or more"
    )


def _substring(call: Call) -> str:
    start = 1 if call.whole(1) == 0 else call.whole(1)
    return f"SUBSTRING({{0}}, {start}" + (", {2})" if len(call.arguments) > 2 else ")")


def _substring_refuses(call: Call) -> str | None:
    start = call.whole(1)
    if start is None or start < 0:
        return "the start must be a literal, 0 or more"
    if len(call.arguments) > 2 and (call.whole(2) is None or (call.whole(2) or 0) < 0):
        return "the length must be a literal, 0 or more"
    return None


def _side(name: str) -> Declared:
    return Declared(
        (name,),
        name.capitalize(),
        f"{name}(string, length) -> string",
        (TEXT, INTEGER),
        STRING,
        name.upper() + "({0}, {1})",
        slots=("this", "expression"),
        refuse=_count_refuses,
        note="The length is a literal.",
    )


def _trim(call: Call) -> str:
    return {"LEADING": "LTRIM({0})", "TRAILING": "RTRIM({0})"}.get(call.node.text("position").upper(), "TRIM({0})")


TEXTS: tuple[Declared, ...] = (
    Declared(
        ("length", "char_length", "character_length", "len"),
        "Length",
        "length(string) -> int",
        (TEXT,),
        INT,
        "LENGTH({0})",
        cast="INTEGER",
        note="In characters.",
    ),
    _text("lower", "lcase", node="Lower", duckdb="LOWER({0})"),
    _text("upper", "ucase", node="Upper", duckdb="UPPER({0})", note="ß stays ß, where Spark writes SS."),
    Declared(
        ("trim", "ltrim", "rtrim"),
        "Trim",
        "trim(string) -> string",
        (TEXT,),
        STRING,
        _trim,
        ignore=("position",),
        note="Takes spaces off.",
    ),
    Declared(
        ("concat",),
        "Concat",
        "concat(string, …) -> string",
        (_JOINED,),
        STRING,
        lambda call: "(" + " || ".join(f"CAST({{{n}}} AS VARCHAR)" for n in range(len(call.arguments))) + ")",
        slots=("expressions",),
        ignore=("safe", "coalesce"),
        note="Strings, integers and dates; null when one is null.",
    ),
    Declared(
        ("substring", "substr"),
        "Substring",
        "substring(string, start [, length]) -> string",
        (TEXT, INTEGER),
        STRING,
        _substring,
        slots=("this", "start", "length"),
        refuse=_substring_refuses,
        note="Start and length are literals, not negative; start 0 is 1.",
    ),
    _side("left"),
    _side("right"),
    Declared(
        ("replace",),
        "Replace",
        "replace(string, search, with) -> string",
        (TEXT,),
        STRING,
        "REPLACE({0}, {1}, {2})",
        slots=("this", "expression", "replacement"),
        refuse=lambda call: None if call.text(1) and len(call.arguments) == 3 else "the search is a literal, not ''",
        note="The search is a literal.",
    ),
    Declared(
        ("instr", "locate", "position"),
        "StrPosition",
        "instr(string, search) -> int",
        (TEXT,),
        INT,
        "STRPOS({0}, {1})",
        cast="INTEGER",
        slots=("this", "substr"),
        note="locate and position take the search first.",
    ),
    _tests("startswith", "StartsWith", "STARTS_WITH({0}, {1})"),
    _tests("endswith", "EndsWith", "ENDS_WITH({0}, {1})"),
    _tests("contains", "Contains", "CONTAINS({0}, {1})"),
)
