"""Arrays and structs, built from values; what is in an array."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import (
    ANY,
    DECIMAL,
    FLOAT,
    INT,
    MIXED,
    NULL,
    OTHER,
    UNKNOWN,
    common,
    digits_of,
    kind_of_type,
    type_text,
)

__all__ = ["NESTED"]

_ELEMENT = ANY | {FLOAT}


def _array_kind(call: Call) -> str:
    kind = common(call.kinds)
    return UNKNOWN if kind in (UNKNOWN, NULL, MIXED) else f"array<{kind}>"


def _array_refuses(call: Call) -> str | None:
    if not call.arguments:
        return "an array needs an element to have a type"
    kind = common(call.kinds)
    if kind == NULL:
        return "all of its elements are null, so it has no type: cast one"
    if kind == MIXED:
        return f"it mixes {' and '.join(sorted(set(call.kinds) - {NULL}))}: cast one side"
    return None


def _element_kind(call: Call) -> str:
    """Of ``array<double>`` the double; `UNKNOWN` where the type was not given."""
    if not _is_array(call):
        return UNKNOWN
    element = call.arguments[0].type.expressions[0]
    text = str(element.sql(dialect="spark")).lower()
    return text if text.endswith((">", ")")) else kind_of_type(element)


def _is_array(call: Call) -> bool:
    kind = call.arguments[0].type
    return kind is not None and kind.this.name in ("ARRAY", "LIST") and len(kind.expressions) == 1


def _no_array(call: Call) -> str | None:
    return None if call.kinds[0] == UNKNOWN or _is_array(call) else "it takes an array"


def _members(node: Any) -> list[Any]:
    return [member.expression if type(member).__name__ == "PropertyEQ" else member for member in node.expressions]


def _names(call: Call) -> list[str]:
    return [
        member.this.name if type(member).__name__ == "PropertyEQ" else member.alias_or_name
        for member in call.node.expressions
    ]


def _struct_kind(call: Call) -> str:
    if UNKNOWN in call.kinds or NULL in call.kinds or not all(_names(call)):
        return UNKNOWN
    fields = zip(_names(call), call.arguments, strict=True)
    return f"struct<{', '.join(f'`{name}`: {type_text(value)}' for name, value in fields)}>"


def _struct_refuses(call: Call) -> str | None:
    names = [name.lower() for name in _names(call)]
    if not names or not all(names):
        return "each field needs a name: named_struct('name', value, …)"
    if len(set(names)) < len(names):
        return "a field's name stands twice"
    if NULL in call.kinds:
        return "a field that is only null has no type: cast it"
    if any(
        kind == DECIMAL and digits_of(each.type) is None for kind, each in zip(call.kinds, call.arguments, strict=True)
    ):
        return "a decimal whose digits are not known: cast it to decimal(p, s), or write 1.5D for a double"
    return None


def _struct(call: Call) -> str:
    fields = (f'"{name}" := {{{number}}}' for number, name in enumerate(_escaped(call)))
    return f"STRUCT_PACK({', '.join(fields)})"


def _escaped(call: Call) -> list[str]:
    return [name.replace('"', '""').replace("{", "{{").replace("}", "}}") for name in _names(call)]


NESTED: tuple[Declared, ...] = (
    Declared(
        ("array",),
        "Array",
        "array(value, …) -> array<common type>",
        (_ELEMENT,),
        _array_kind,
        lambda call: "[" + ", ".join(f"{{{number}}}" for number in range(len(call.arguments))) + "]",
        slots=("expressions",),
        refuse=_array_refuses,
        note="Elements of one type, or numbers, or dates and timestamps. `cast(array(…) as array<float>)` makes an "
        "embedding.",
    ),
    Declared(
        ("size", "array_size"),
        "ArraySize",
        "size(array) -> int",
        (frozenset({OTHER}),),
        INT,
        "LEN({0})",
        cast="INTEGER",
        refuse=_no_array,
        note="Of a null array null.",
    ),
    Declared(
        ("get",),
        "Anonymous",
        "get(array, int) -> element",
        (frozenset({OTHER}), frozenset({INT})),
        _element_kind,
        # A negative place of DuckDB's counts from the end.
        "LIST_EXTRACT({0}, CASE WHEN {1} >= 0 THEN CAST({1} AS BIGINT) + 1 END)",
        slots=("expressions",),
        refuse=_no_array,
        note="Places from 0; null where the array has no such place.",
    ),
    Declared(
        ("named_struct", "struct"),
        "Struct",
        "named_struct('name', value, …) -> struct<name: type, …>",
        (),
        _struct_kind,
        _struct,
        slots=_members,
        ignore=("expressions",),
        refuse=_struct_refuses,
        note="Names are literals.",
    ),
)
