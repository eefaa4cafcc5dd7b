"""The SQL body of a feature: one `SELECT`, what it reads, and whether it is row-wise in `base`.

The meaning of a body never depends on how files are grouped: `base` is the whole window. Only a
body that is proved row-wise from its syntax tree runs file by file; any other runs once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import TableName

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["BASE", "Body", "BoundBody", "bind_body", "parse_body"]

BASE = "base"

# Shares no name with a CTE that a person would write.
_STAND_IN = "nb__table_"
# As sqlglot says it, with and without a place.
_NAMED_COLUMN = re.compile(r"(?:Unknown column: |Column ')(?P<column>[\w.]+)")


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed body, not yet held against any table.

    Attributes:
        sql: Canonical Spark SQL (one layout, no comments).
        sources: The other tables it names, sorted.
    """

    sql: str
    sources: tuple[TableName, ...]


@dataclass(frozen=True, slots=True)
class BoundBody:
    """A body held against the columns of its tables.

    Attributes:
        sql: Spark SQL with every column qualified and every star expanded. Tables keep the names
            of the body.
        outputs: Result columns in order.
        handed_on: Those of them that are a column under its own name, not computed.
        reads: Columns read of each table, by table name (``base`` included), sorted.
        row_wise: True when the result of a row of `base` depends on no other row of `base`.
        why: The reason for `row_wise`, in words for the plan.
    """

    sql: str
    outputs: tuple[str, ...]
    handed_on: frozenset[str]
    reads: Mapping[str, tuple[str, ...]]
    row_wise: bool
    why: str


def parse_body(sql: str, frames: Mapping[str, str] | None = None) -> Body:
    """Parse a body.

    Args:
        frames: Name of a DataFrame -> the table that holds it; the body reads that table where it names the frame.

    Raises:
        RequestError: no SQL, more than one statement, not a ``SELECT``, no ``base``, a table named
            without its namespace, or a frame that is not read; with line and column where the parser
            gives them.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if not sql.strip():
        raise RequestError("body.empty", "the body is empty", fix="write one SELECT of the keys and the new columns")
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="spark") if statement is not None]
    except SqlglotError as exc:
        detail = exc.errors[0] if getattr(exc, "errors", None) else {}
        place = f"line {detail['line']}, column {detail['col']}" if detail.get("line") else ""
        reason = detail.get("description") or str(exc).splitlines()[0]
        raise RequestError(
            "body.syntax", f"the body is not Spark SQL: {reason}", fix="mend the SQL", where=place
        ) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        found = f"{len(statements)} statements" if len(statements) != 1 else statements[0].key.upper()
        raise RequestError("body.not_select", f"the body is {found}", fix="write exactly one SELECT")
    statement = statements[0]
    ctes = {cte.alias_or_name for cte in statement.find_all(exp.CTE)}
    names = set()
    for table in statement.find_all(exp.Table):
        full = ".".join(part.name for part in table.parts)
        if full in ctes:
            continue
        if frames and full in frames:
            full = frames[full]
            _read_frame(table, full)
        if full != BASE and "." not in full:
            raise RequestError(
                "body.table",
                f"the body reads {full!r}, which has no namespace",
                fix=f"write namespace.{full}, or base; --frame {full} names a DataFrame of the notebook",
            )
        _refuse_table_options(table, full)
        names.add(full)
    if BASE not in names:
        raise RequestError("body.no_base", "the body does not read base", fix="select the keys FROM base")
    for name, stored in (frames or {}).items():
        if stored not in names:
            raise RequestError(
                "frame.unused", f"the body does not read the frame {name!r}", fix=f"leave out --frame {name}"
            )
    canonical = statement.sql(dialect="spark", comments=False, pretty=True)
    return Body(canonical, tuple(sorted(TableName.parse(name) for name in names - {BASE})))


def _read_frame(table: exp.Table, stored: str) -> None:
    """Let a reference to a frame read the table that holds it, under the name the body gives it."""
    from sqlglot import exp

    alias = table.alias or table.name
    *namespace, name = stored.split(".")
    table.set("this", exp.to_identifier(name))
    table.set("db", exp.to_identifier(".".join(namespace)))
    table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))


_PLAIN_TABLE = frozenset({"this", "db", "catalog", "alias", "joins"})


def _refuse_table_options(table: exp.Table, name: str) -> None:
    """A sample or a version would be lost when the table is handed to an engine at its pin."""
    extra = sorted(part for part, value in table.args.items() if value and part not in _PLAIN_TABLE)
    if extra:
        raise RequestError(
            "body.table_option",
            f"the body reads {name} with an option ({', '.join(extra)}) that a pinned table cannot have",
            fix="read the whole table; the plan pins its version",
        )


def bind_body(body: Body, columns: Mapping[str, Mapping[str, str]], keys: tuple[str, ...]) -> BoundBody:
    """Hold a body against its tables.

    Args:
        columns: Column name to Spark SQL type, for ``base`` and each source by full name.
        keys: Key columns of the base table; empty when they are not known yet.

    Raises:
        RequestError: a column that no table has, or that several have.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    tree = sqlglot.parse_one(body.sql, read="spark")
    written = {name.lower(): name for name in tree.named_selects}
    schema = MappingSchema(dialect="spark")
    flat: dict[str, str] = {}
    # Tables get one-part stand-ins, so that base and deep namespaces qualify alike.
    for number, (name, types) in enumerate(sorted(columns.items())):
        flat[name] = f"{_STAND_IN}{number}"
        schema.add_table(flat[name], dict(types))
    for table in tree.find_all(exp.Table):
        full = ".".join(part.name for part in table.parts)
        if full in flat:
            alias = table.alias or table.name
            stand_in = exp.to_table(flat[full])
            stand_in.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
            if table.args.get("joins"):
                stand_in.set("joins", table.args["joins"])
            table.replace(stand_in)
    try:
        tree = qualify(
            tree, schema=schema, dialect="spark", quote_identifiers=False, identify=False, validate_qualify_columns=True
        )
    except SqlglotError as exc:
        raise _unresolved(str(exc).splitlines()[0], columns) from None
    # Names match in any case, as in Spark: a column of base keeps its own spelling, a new one that of the body.
    written |= {name.lower(): name for name in columns[BASE]}
    for column in tree.selects:
        if isinstance(column, exp.Alias):
            column.args["alias"].set("this", written.get(column.alias.lower(), column.alias))
    row_wise, why = _row_wise(tree, flat[BASE], keys)
    reads = _reads(tree, flat, columns)
    back = {stand_in: name for name, stand_in in flat.items()}
    for table in tree.find_all(exp.Table):
        if table.name in back:
            table.set("this", exp.to_identifier(engine_name(back[table.name])))
    handed_on = frozenset(
        column.alias_or_name
        for column in tree.selects
        if isinstance(column.unalias(), exp.Column) and column.unalias().name.lower() == column.alias_or_name.lower()
    )
    return BoundBody(tree.sql(dialect="spark"), tuple(tree.named_selects), handed_on, reads, row_wise, why)


def _unresolved(reason: str, columns: Mapping[str, Mapping[str, str]]) -> RequestError:
    known = sorted({column for types in columns.values() for column in types})
    named = _NAMED_COLUMN.search(reason)
    wrong = named["column"].rpartition(".")[2] if named else ""
    return RequestError(
        "body.column",
        f"a column of the body cannot be resolved: {reason}",
        fix="qualify the column with its table" if wrong in known else did_you_mean(wrong, known),
    )


def engine_name(table: str) -> str:
    """The one-part name under which an engine is given a table: ``retail.events`` -> ``retail__events``."""
    return table.replace(".", "__")


def _reads(
    tree: exp.Expression, flat: Mapping[str, str], columns: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, ...]]:
    from sqlglot import exp

    aliases: dict[str, set[str]] = {}
    for table in tree.find_all(exp.Table):
        aliases.setdefault(table.name, set()).add(table.alias_or_name)
    used = {(column.table, column.name.lower()) for column in tree.find_all(exp.Column)}
    reads = {
        name: tuple(
            column
            for column in sorted(columns[name])
            if any((alias, column.lower()) in used for alias in aliases.get(stand_in, ()))
        )
        for name, stand_in in flat.items()
    }
    for name, read in reads.items():
        spelled: dict[str, str] = {}
        for column in read:
            if (other := spelled.setdefault(column.lower(), column)) != column:
                raise RequestError(
                    "body.case",
                    f"{name} has the columns {other!r} and {column!r}, and SQL knows no case: the body may mean either",
                    fix="rename one of them, or read it with a Python body (--lang python), which knows case",
                )
    return reads


def _row_wise(tree: exp.Expression, base: str, keys: tuple[str, ...]) -> tuple[bool, str]:
    """Prove from the tree that each row of base is computed by itself; say why (not)."""
    from sqlglot import exp

    references = [table for table in tree.find_all(exp.Table) if table.name == base]
    if len(references) != 1:
        return False, f"base is read {len(references)} times"
    reference = references[0]
    source = tree.args.get("from_") or tree.args.get("from")
    if source is None or source.this is not reference:
        return False, "base is not the first table of the outer SELECT"
    alias = reference.alias_or_name
    for join in tree.args.get("joins") or ():
        if join.side in ("RIGHT", "FULL") or join.args.get("using"):
            return False, f"base is on the optional side of a {join.side or 'USING'} join"
    for part, name in (("distinct", "DISTINCT"), ("limit", "LIMIT"), ("offset", "OFFSET"), ("qualify", "QUALIFY")):
        if tree.args.get(part):
            return False, f"{name} over base"
    if tree.args.get("windows") or any(_in_outer(tree, window) for window in tree.find_all(exp.Window)):
        return False, "a window function over base"
    group = tree.args.get("group")
    aggregates = [node for node in tree.find_all(exp.AggFunc) if _in_outer(tree, node)]
    if group is None:
        if aggregates or tree.args.get("having"):
            return False, "an aggregate over base"
        return True, "each row of base is computed by itself"
    if any(group.args.get(kind) for kind in ("grouping_sets", "cube", "rollup", "all")):
        return False, "grouping sets over base"
    grouped = {
        column.name.lower() for column in group.expressions if isinstance(column, exp.Column) and column.table == alias
    }
    if not keys or not {key.lower() for key in keys} <= grouped:
        return False, "base is grouped by less than its key"
    return True, "base is grouped by its key"


def _in_outer(tree: exp.Expression, node: exp.Expression) -> bool:
    """True when the nearest SELECT around `node` is the outer one."""
    from sqlglot import exp

    return node.find_ancestor(exp.Select) is tree
