"""Arrays and structs, built from values."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import ANY, DECIMAL, FLOAT, MIXED, NULL, UNKNOWN, common, digits_of, type_text

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
