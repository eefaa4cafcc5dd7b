"""The declared subset of Spark SQL that the local engine runs, and its way into DuckDB.

Everything is refused that is not on the lists below: a function stands here only when the
conformance suite (tests/spark/test_sql_subset.py) has shown equal types and values against Spark,
nulls, NaN and ANSI errors included. Where the two differ the tree is rewritten first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nbplat.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["FUNCTIONS", "to_duckdb"]

# Names as Spark spells them -> the sqlglot node they parse to.
_NODES = {
    "abs": "Abs",
    "avg": "Avg",
    "case": "Case",
    "ceil": "Ceil",
    "coalesce": "Coalesce",
    "count": "Count",
    "count_if": "CountIf",
    "exp": "Exp",
    "floor": "Floor",
    "if": "If",
    "length": "Length",
    "ln": "Ln",
    "lower": "Lower",
    "max": "Max",
    "min": "Min",
    "nullif": "Nullif",
    "sqrt": "Sqrt",
    "sum": "Sum",
    "upper": "Upper",
}

FUNCTIONS: frozenset[str] = frozenset(_NODES)

_STRUCTURE = frozenset(
    (
        "Select From Join Where Group Having With CTE Subquery Table TableAlias Identifier Column Alias Star "
        "Literal Null Boolean Paren Tuple And Or Not EQ NEQ LT LTE GT GTE NullSafeEQ Is In Between "
        "Add Sub Mul Div Neg Interval Var DataType DataTypeParam Distinct Exists Union Case If IntervalSpan"
    ).split(" ")
)

_CASTS = frozenset({"DOUBLE", "BIGINT", "INT"})
_INTERVALS = frozenset({"DAY", "DAYS", "HOUR", "HOURS", "MINUTE", "MINUTES", "SECOND", "SECONDS", "WEEK", "WEEKS"})


def to_duckdb(sql: str) -> str:
    """Rewrite a body of the subset as DuckDB SQL that gives Spark's result.

    Args:
        sql: Spark SQL with every column qualified, as `nbplat.backfill.body.bind_body` writes it.

    Raises:
        RequestError: ``sql.function``, ``sql.operator``, ``sql.cast``, ``sql.interval`` or
            ``sql.decimal``, naming what lies outside the subset.
    """
    import sqlglot

    tree = sqlglot.parse_one(sql, read="spark")
    for node in tree.walk():
        _check(node)
    for name, rewrite in _rewrites().items():
        tree = _replace_all(tree, name, rewrite)
    return str(tree.sql(dialect="duckdb"))


def _check(node: exp.Expression) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    if isinstance(node, exp.Cast):
        _check_cast(node)
    elif isinstance(node, exp.Interval):
        unit = node.args.get("unit")
        if unit is None or unit.name.upper() not in _INTERVALS:
            raise _outside(
                "sql.interval", "INTERVAL unit", unit.name if unit else "none", "days, hours, minutes, weeks"
            )
    elif isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
        for side in (node.this, node.expression):
            if isinstance(side.unnest(), exp.Literal) and not side.unnest().is_string and "." in side.unnest().name:
                text = side.unnest().name
                raise RequestError(
                    "sql.decimal",
                    f"{text} is a DECIMAL in Spark SQL, and decimal arithmetic is outside the local subset",
                    fix=f"write {text}D for a double",
                )
    elif kind not in _STRUCTURE and kind not in _NODES.values():
        if isinstance(node, exp.Func):
            name = node.sql(dialect="spark").split("(")[0].strip().lower()
            raise _outside("sql.function", "function", name, did_you_mean(name, FUNCTIONS))
        raise _outside("sql.operator", "operator", node.key.upper(), "see docs/sql-subset.md")


def _check_cast(node: exp.Cast) -> None:
    target = node.to.this.name if node.to.this else str(node.to)
    if target not in _CASTS:
        raise _outside("sql.cast", "cast to", target.lower(), "cast to double, bigint or int")


def _outside(code: str, what: str, name: str, known: str) -> RequestError:
    return RequestError(
        code,
        f"the {what} {name!r} is outside the SQL subset of the local engine",
        fix=f"rewrite it ({known}); docs/sql-subset.md lists the subset",
    )


def _rewrites() -> dict[str, Callable[[exp.Expression], exp.Expression]]:
    return {
        "TryCast": _strict_cast,  # how the parser reads Spark's CAST
        "Cast": _strict_cast,
        "Div": _ansi_divide,
        "Floor": _to_bigint,
        "Ceil": _to_bigint,
        "Ln": _null_outside_domain,
        "Sqrt": _nan_below_zero,
    }


def _replace_all(
    tree: exp.Expression, name: str, rewrite: Callable[[exp.Expression], exp.Expression]
) -> exp.Expression:
    """Rewrite every node of one class, innermost first, each once."""
    nodes = [node for node in tree.walk() if type(node).__name__ == name]
    for node in reversed(nodes):
        new = rewrite(node.copy())
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree


def _ansi_divide(node: exp.Expression) -> exp.Expression:
    """Spark's ``/`` raises on zero, gives null for a null side first, and a double for integers."""
    from sqlglot import exp

    top, bottom = exp.paren(node.this), exp.paren(node.expression)
    quotient = exp.Div(this=exp.cast(top.copy(), "double"), expression=exp.cast(bottom.copy(), "double"), typed=False)
    return exp.paren(
        exp.Case()
        .when(exp.Is(this=top.copy(), expression=exp.Null()), exp.Null())
        .when(exp.EQ(this=bottom.copy(), expression=exp.Literal.number(0)), _error("DIVIDE_BY_ZERO"))
        .else_(quotient)
    )


def _to_bigint(node: exp.Expression) -> exp.Expression:
    """Spark's floor and ceil give a bigint."""
    from sqlglot import exp

    return exp.cast(node, "bigint")


def _null_outside_domain(node: exp.Expression) -> exp.Expression:
    """Spark's ln gives null at and below zero; DuckDB raises."""
    from sqlglot import exp

    inner = exp.paren(node.this)
    return exp.paren(
        exp.Case().when(exp.LTE(this=inner.copy(), expression=exp.Literal.number(0)), exp.Null()).else_(node)
    )


def _nan_below_zero(node: exp.Expression) -> exp.Expression:
    """Spark's sqrt gives NaN below zero; DuckDB raises."""
    from sqlglot import exp

    inner = exp.paren(node.this)
    nan = exp.cast(exp.Literal.string("NaN"), "double")
    return exp.paren(exp.Case().when(exp.LT(this=inner.copy(), expression=exp.Literal.number(0)), nan).else_(node))


def _strict_cast(node: exp.Expression) -> exp.Expression:
    """ANSI casts raise; towards an integer Spark truncates where DuckDB rounds."""
    from sqlglot import exp

    inner = node.this
    if node.args["to"].this.name != "DOUBLE":
        inner = exp.Anonymous(this="trunc", expressions=[inner])
    return exp.Cast(this=inner, to=node.args["to"])


def _error(text: str) -> exp.Expression:
    from sqlglot import exp

    return exp.Anonymous(this="error", expressions=[exp.Literal.string(text)])
