"""Functions that choose between values."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.dialect.comparisons import incomparable
from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import ANY, BOOLEAN, MIXED, NULL, UNKNOWN, common, kind_of

__all__ = ["CONDITIONS"]


def _meet(call: Call) -> str:
    return common(call.kinds)


def _mixed(call: Call) -> str | None:
    if _meet(call) == MIXED:
        return f"it mixes {' and '.join(sorted(set(call.kinds) - {NULL}))}: cast one side"
    return None


def _of_case(node: Any) -> list[Any]:
    branches = [branch.args["true"] for branch in node.args["ifs"]]
    return [*branches, node.args["default"]] if node.args.get("default") else branches


def _case_refuses(call: Call) -> str | None:
    subject = call.node.args.get("this")
    for branch in call.node.args["ifs"]:
        condition = branch.this
        if subject is not None:
            if reason := incomparable((subject, condition)):
                return reason
        elif kind_of(condition) not in (BOOLEAN, NULL, UNKNOWN):
            return f"a condition is {kind_of(condition)}, not boolean"
    return _mixed(call)


def _if_refuses(call: Call) -> str | None:
    if kind_of(call.node.this) not in (BOOLEAN, NULL, UNKNOWN):
        return f"its condition is {kind_of(call.node.this)}, not boolean"
    return _mixed(call)


def _nullif_refuses(call: Call) -> str | None:
    # The result has the first one's type in Spark, the common one in DuckDB.
    if common(call.kinds) not in (call.kinds[0], UNKNOWN):
        return "the second argument must be of the first one's type"
    return None


# Decimals are let through here: they may be compared, but no function takes them on.
_BRANCH = (ANY | {"decimal"},)

CONDITIONS: tuple[Declared, ...] = (
    Declared(
        ("case",),
        "Case",
        "case when … then … [else …] end",
        _BRANCH,
        _meet,
        slots=_of_case,
        ignore=("this", "ifs", "default"),
        refuse=_case_refuses,
        note="Branches of one type, or numbers, or dates and timestamps.",
    ),
    Declared(
        ("if",),
        "If",
        "if(boolean, then, else) -> common type",
        _BRANCH,
        _meet,
        slots=("true", "false"),
        ignore=("this",),
        refuse=_if_refuses,
    ),
    Declared(
        ("coalesce", "nvl", "ifnull"),
        "Coalesce",
        "coalesce(value, …) -> common type",
        _BRANCH,
        _meet,
        slots=("this", "expressions"),
        refuse=_mixed,
    ),
    Declared(
        ("nvl2",),
        "Nvl2",
        "nvl2(value, if not null, if null) -> common type",
        _BRANCH,
        lambda call: common(call.kinds[:2]),
        "CASE WHEN {2} IS NOT NULL THEN {0} ELSE {1} END",
        slots=lambda node: [node.args["true"], node.args["false"], node.this],
        ignore=("this", "true", "false"),
        refuse=lambda call: _mixed(Call(call.node, call.arguments[:2])),
    ),
    Declared(
        ("nullif",),
        "Nullif",
        "nullif(value, value) -> same",
        _BRANCH,
        lambda call: call.kinds[0],
        slots=("this", "expression"),
        refuse=_nullif_refuses,
    ),
    *(
        Declared(
            (name,),
            name.capitalize(),
            f"{name}(value, …) -> common type",
            _BRANCH,
            _meet,
            slots=("this", "expressions"),
            ignore=("ignore_nulls",),
            refuse=_mixed,
            note="Nulls are left out; NaN is the greatest.",
        )
        for name in ("greatest", "least")
    ),
    *(
        Declared(
            (name,),
            "Anonymous",
            f"{name}(value) -> boolean",
            _BRANCH,
            BOOLEAN,
            f"({{0}} IS {'NOT ' if 'not' in name else ''}NULL)",
            slots=("expressions",),
        )
        for name in ("isnull", "isnotnull")
    ),
)
