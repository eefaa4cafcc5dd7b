"""From a body of the subset to DuckDB SQL: type it, check every node against the tables, rewrite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nbplat.backfill.dialect.aggregates import AGGREGATES, RANKINGS
from nbplat.backfill.dialect.casts import CASTS
from nbplat.backfill.dialect.conditions import CONDITIONS
from nbplat.backfill.dialect.declaration import Declared
from nbplat.backfill.dialect.kinds import DECIMAL, NULL, OTHER, UNKNOWN, annotate, digits_of, kind_of
from nbplat.backfill.dialect.nested import NESTED
from nbplat.backfill.dialect.numbers import NUMBERS
from nbplat.backfill.dialect.operators import INTERVAL_UNITS, OPERATORS
from nbplat.backfill.dialect.structure import NONDETERMINISTIC, SHAPES, misshapen
from nbplat.backfill.dialect.text import TEXTS
from nbplat.backfill.dialect.times import TIMES
from nbplat.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["DECLARED", "to_duckdb"]

DECLARED: tuple[Declared, ...] = (
    *CONDITIONS,
    *NUMBERS,
    *TEXTS,
    *TIMES,
    *NESTED,
    *AGGREGATES,
    *RANKINGS,
    *OPERATORS,
    *CASTS,
)

_BY_NODE = {declared.node: declared for declared in DECLARED if declared.node != "Anonymous"}
_BY_NAME = {name: declared for declared in DECLARED if declared.node == "Anonymous" for name in declared.names}
_NAMES = frozenset(name for declared in DECLARED if declared.group != "operator" for name in declared.names)

_PAGE = "docs/sql-subset.md lists the subset"

# Rewrites repeat their arguments, so nesting them doubles the text at each step.
_MAX_CHARS = 1 << 17


def to_duckdb(sql: str, types: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Rewrite a body of the subset as DuckDB SQL that gives Spark's result.

    Args:
        sql: Spark SQL with every column qualified, as `nbplat.backfill.body.bind_body` writes it.
        types: Column name to Spark SQL type, for ``base`` and each source by full name, as `bind_body` takes
            them. With None columns have no known type: what can only be judged by type is then judged by
            DuckDB when it binds, or refused.

    Raises:
        RequestError: ``sql.function``, ``sql.nondeterministic``, ``sql.operator``, ``sql.cast``, ``sql.interval``,
            ``sql.decimal``, ``sql.types``, ``sql.argument``, ``sql.query`` or ``sql.size``, naming what lies
            outside the subset.
    """
    import sqlglot

    from nbplat.backfill.body import engine_name

    tree = sqlglot.parse_one(sql, read="spark")
    named = {engine_name(table): columns for table, columns in (types or {}).items()}
    annotate(tree, named, {"Literal": _literal_kind, "Anonymous": _named_kind, "Ordered": _of_this} | _kinds())
    for node in tree.walk():
        _check(node)
    for column in tree.selects:
        _check_result(column)
    return _rewritten(tree)


def _check_result(column: Any) -> None:
    """A decimal needs known digits: by other rules than a column's, a cast's or a sum's they differ by engine."""
    from sqlglot import exp

    value = column.unalias()
    plain = isinstance(value, (exp.Column, exp.Cast, exp.TryCast, exp.Sum, exp.Min, exp.Max))
    if kind_of(column) == DECIMAL and not (plain and digits_of(value.type)):
        raise _decimal(column, column.unalias())


def _kinds() -> dict[str, Any]:
    return {node: declared.kind for node, declared in _BY_NODE.items()}


def _of_this(node: Any) -> str:
    return kind_of(node.this)


def _named_kind(node: Any) -> str:
    declared = _BY_NAME.get(node.name.lower())
    return declared.kind(node) if declared else UNKNOWN


def _literal_kind(node: Any) -> str:
    if node.is_string:
        return "string"
    text = node.name.lower()
    if text.isdigit():
        return "int" if int(text) < 1 << 31 else "bigint" if int(text) < 1 << 63 else DECIMAL
    return "double" if "e" in text else DECIMAL


def _declared(node: Any) -> Declared | None:
    from sqlglot import exp

    if isinstance(node, exp.If) and isinstance(node.parent, exp.Case):
        return None  # a branch, which the CASE judges
    if isinstance(node, exp.Anonymous):
        return _BY_NAME.get(node.name.lower())
    return _BY_NODE.get(type(node).__name__)


def _check(node: Any) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    declared = _declared(node)
    if declared is not None:
        _check_use(declared, node)
    elif kind in NONDETERMINISTIC or (kind == "Anonymous" and node.name.lower() in NONDETERMINISTIC):
        name = _name(node)
        raise RequestError(
            "sql.nondeterministic",
            f"{name!r} gives another value at each run, so the column could not be computed again",
            fix="use a column of base or of a source, or a literal",
        )
    elif kind == "Interval":
        _check_interval(node)
    elif kind in SHAPES:
        if reason := misshapen(node):
            raise _outside("sql.query", node, reason)
    elif kind == "If":
        return
    elif isinstance(node, exp.Func) and not isinstance(node, exp.Binary):
        name = _name(node)
        nearest = did_you_mean(name, _NAMES)
        raise RequestError(
            "sql.function",
            f"the function {name!r} is outside the SQL subset of the local engine",
            fix=f"{nearest if nearest.startswith('did') else 'rewrite it'}; {_PAGE}",
        )
    else:
        raise _outside("sql.operator", node, f"{node.key.upper()} is outside the SQL subset of the local engine")


def _check_use(declared: Declared, node: Any) -> None:
    from sqlglot import exp

    call = declared.call(node)
    slots = declared.slots if isinstance(declared.slots, tuple) else ()
    known = {*slots, *declared.ignore} | ({"this"} if declared.node == "Anonymous" else set())
    extra = [part for part, value in node.args.items() if value and part not in known]
    if extra:
        raise _outside("sql.argument", node, f"the argument {extra[0].strip('_')!r} is outside the subset")
    over = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    window = over if isinstance(over, exp.Window) and node.arg_key == "this" else None
    _check_window(declared, node, window)
    if not declared.distinct and isinstance(node.args.get("this"), exp.Distinct):
        raise _outside("sql.argument", node, "DISTINCT is outside the subset here")
    for index, kind in enumerate(call.kinds):
        takes = declared.takes[min(index, len(declared.takes) - 1)] if declared.takes else None
        if takes is not None and kind not in takes and kind not in (NULL, UNKNOWN):
            if isinstance(call.arguments[index], exp.Star):
                continue
            raise _wrong_kind(node, kind, call.arguments[index], takes)
    if declared.node in _ARITHMETIC:
        _check_decimal(node, call)
    if declared.refuse is not None and (reason := declared.refuse(call)):
        code = "sql.cast" if declared.group == "cast" or declared.node == "TsOrDsToDate" else "sql.argument"
        raise _outside("sql.types" if declared.group == "operator" else code, node, reason)


def _check_window(declared: Declared, node: Any, window: Any) -> None:
    from sqlglot import exp

    if window is None:
        if declared.group == "window":
            raise _outside("sql.query", node, "it needs OVER (… ORDER BY …)")
        return
    if isinstance(node.parent, exp.Filter):
        raise _outside("sql.query", window, "FILTER over a window is not in Spark SQL: use CASE")
    if not declared.over:
        raise _outside("sql.query", window, f"{declared.names[0]} over a window is outside the subset")
    if isinstance(node.args.get("this"), exp.Distinct):
        raise _outside("sql.query", window, "DISTINCT over a window is outside the subset")
    if declared.group == "window":
        if not window.args.get("order"):
            raise _outside("sql.query", window, f"{declared.names[0]} needs ORDER BY in its window")
        if window.args.get("spec"):
            raise _outside("sql.query", window, f"{declared.names[0]} takes no frame")


_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Mod")


def _check_decimal(node: Any, call: Any) -> None:
    """Decimals are let through only beside a double, which makes a double of both."""
    if DECIMAL not in call.kinds or "double" in call.kinds:
        return
    side = call.arguments[call.kinds.index(DECIMAL)]
    raise _decimal(node, side)


def _decimal(node: Any, side: Any) -> RequestError:
    from sqlglot import exp

    text = _shown(side)
    bare = side.unnest()
    fix = f"write {bare.name}D for a double" if isinstance(bare, exp.Literal) else f"make a double of {text}, e.g. 1.5D"
    return RequestError(
        "sql.decimal",
        f"{text} is a DECIMAL in Spark SQL, and decimal arithmetic is outside the local subset",
        fix=fix,
        where=_shown(node),
    )


def _wrong_kind(node: Any, kind: str, argument: Any, takes: frozenset[str]) -> RequestError:
    if kind == DECIMAL:
        return _decimal(node, argument)
    named = argument.type.sql(dialect="spark").lower() if kind == OTHER else kind
    return _outside("sql.types", node, f"{_shown(argument)} is {named}; {' or '.join(sorted(takes))} is wanted")


def _check_interval(node: Any) -> None:
    from sqlglot import exp

    unit = node.args.get("unit")
    name = str(unit.name).upper() if isinstance(unit, exp.Var) else ""
    amount = node.this.name if isinstance(node.this, exp.Literal) else ""
    if name.removesuffix("S") not in INTERVAL_UNITS or not amount.lstrip("-").isdigit():
        raise RequestError(
            "sql.interval",
            f"{_shown(node)} is outside the SQL subset of the local engine",
            fix=f"write INTERVAL n unit with a whole number and one unit of {', '.join(sorted(INTERVAL_UNITS))}",
        )
    if not isinstance(node.parent, (exp.Add, exp.Sub)):
        raise _outside("sql.interval", node, "an interval stands only beside + or - of a date or timestamp")


def _outside(code: str, node: Any, reason: str) -> RequestError:
    return RequestError(code, f"{_shown(node)}: {reason}", fix=f"rewrite it; {_PAGE}")


def _name(node: Any) -> str:
    if type(node).__name__ == "Anonymous":
        return str(node.name).lower()
    return str(node.sql(dialect="spark")).split("(")[0].strip().lower()


def _shown(node: Any) -> str:
    text = " ".join(node.sql(dialect="spark").split())
    return f"`{text if len(text) <= 80 else text[:77] + '…'}`"


def _rewritten(tree: exp.Expression) -> str:
    """Write every declared use in DuckDB's words, the innermost first.

    What is finished stands in the tree as a `Var`, which sqlglot prints as it is.
    """
    from sqlglot import exp

    for node in reversed(list(tree.walk(bfs=True))):
        declared = _declared(node)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            continue  # a written number, which rewrites around it read
        if declared is not None:
            _replace(node, _core(declared, node), _cast_of(declared, node))
        elif type(node).__name__ in ("Filter", "Window") and "cast" in node.this.meta:
            _replace(node, node.sql(dialect="duckdb"), node.this.meta["cast"])
    return str(tree.sql(dialect="duckdb"))


def _core(declared: Declared, node: Any) -> str:
    from sqlglot import exp

    call = declared.call(node)
    template = declared.duckdb(call) if callable(declared.duckdb) else declared.duckdb
    if template is None:
        text = str(node.sql(dialect="duckdb"))
        return f"({text})" if isinstance(node, (exp.Binary, exp.Unary, exp.Predicate)) else text
    written = tuple(_written(call.arguments))
    if sum(map(len, written)) > _MAX_CHARS:
        raise RequestError(
            "sql.size",
            f"the operations around {_shown(node)} are nested too deeply for the local engine",
            fix="compute the inner steps in a subquery or common table expression and name them",
        )
    return template.format(*written)


def _written(arguments: tuple[Any, ...]) -> Iterator[str]:
    from sqlglot import exp

    for argument in arguments:
        text = argument.sql(dialect="duckdb")
        plain = isinstance(argument, (exp.Column, exp.Literal, exp.Var, exp.Null, exp.Boolean, exp.Paren, exp.Interval))
        yield text if plain else f"({text})"


def _cast_of(declared: Declared, node: Any) -> str | None:
    return declared.cast(declared.call(node)) if callable(declared.cast) else declared.cast


def _replace(node: Any, text: str, cast: str | None) -> None:
    from sqlglot import exp

    done = exp.Var(this=text)
    done.type = node.type
    parent = node.parent
    if cast and isinstance(parent, (exp.Filter, exp.Window)) and node.arg_key == "this":
        done.meta["cast"] = cast  # FILTER and OVER belong to the function, not to its cast
    elif cast:
        done.set("this", f"CAST({text} AS {cast})")
    node.replace(done)
