"""Conditions of event rules: Spark SQL, checked before any data is read, evaluated by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nbplat.backfill.body import BASE, bind_body, parse_body
from nbplat.backfill.dialect import to_duckdb
from nbplat.backfill.types import from_arrow, spark_type
from nbplat.errors import NbplatError, RequestError, did_you_mean
from nbplat.remote.duck import open_database, reason, with_tables
from nbplat.remote.sequence.stored_rows import index_type

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["DuckDBConditions"]

_ALIAS = "nb__where"
_SETTINGS: Mapping[str, Any] = {"threads": 1, "memory_bytes": 64 << 20, "spill_folder": None}

# What looks beyond the one row that a condition is about, and how it is called.
_BEYOND = {"Select": "a subquery", "Subquery": "a subquery", "Window": "a window function", "Star": "a star"}


class DuckDBConditions:
    """Implements `nbplat.sequence.ports.Conditions` with the local engine's SQL subset."""

    def prepare(self, where: str, schema: pa.Schema, place: str = "") -> Mapping[str, Any]:
        """See the port; codes are ``sequence.where_*`` and, for what lies outside the subset, ``sql.*``.

        The condition sees the columns in the types of the index.
        """
        types = {field.name: _spark_type(field.type) for field in schema}
        tree = _parsed(where, place)
        _check_form(tree, where, place)
        _check_columns(tree, types, where, place)
        try:
            # Only the parser's own words stand in this text.
            body = parse_body(f"SELECT {tree.sql(dialect='spark')} AS {_ALIAS} FROM {BASE}")  # noqa: S608
            bound = bind_body(body, {BASE: types}, ())
            query = to_duckdb(bound.sql, {BASE: types})
        except RequestError as exc:
            raise RequestError(
                exc.code,
                f"the condition {_shown(where)} cannot be used: {exc.message}",
                fix=exc.fix,
                where=_at(exc, where, place),
            ) from None
        _check_boolean(query, schema, where, place)
        return {"where": where, "sql": f"({_expression(query)})", "columns": list(bound.reads[BASE])}


def _parsed(where: str, place: str) -> exp.Expression:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if not where.strip():
        raise RequestError(
            "sequence.where_syntax",
            "the condition is empty",
            fix="write one, e.g. amount > 0, or leave the key out",
            where=place,
        )
    try:
        return sqlglot.parse_one(where, read="spark", into=exp.Condition)
    except SqlglotError as exc:
        detail = exc.errors[0] if getattr(exc, "errors", None) else {}
        raise RequestError(
            "sequence.where_syntax",
            f"the condition {_shown(where)} is not Spark SQL: {_said(exc, detail)}",
            fix="write one boolean expression over the columns of the events, e.g. amount > 0 and country = 'France'",
            where=_place(place, _offset(where, detail)),
        ) from None


def _offset(where: str, detail: Mapping[str, Any]) -> int | None:
    """Where the parser stumbled; it names the last character of the token that it did not expect."""
    if not detail.get("line"):
        return None
    lines = where.splitlines(keepends=True)
    end = sum(len(line) for line in lines[: int(detail["line"]) - 1]) + int(detail["col"])
    return max(end - len(str(detail.get("highlight") or "")), 0)


def _said(exc: Exception, detail: Mapping[str, Any]) -> str:
    """The parser's reason, without the names of its classes."""
    said = str(detail.get("description") or str(exc).splitlines()[0])
    if said.startswith("Required keyword"):
        return f"something is missing beside {detail.get('highlight') or 'it'}"
    return said


def _check_form(tree: exp.Expression, where: str, place: str) -> None:
    """Refuse what looks beyond the row."""
    from sqlglot import exp

    for node in tree.walk():
        what = _BEYOND.get(type(node).__name__) or ("an aggregate" if isinstance(node, exp.AggFunc) else "")
        if what:
            raise RequestError(
                "sequence.where_form",
                f"the condition {_shown(where)} holds {what}, and a condition is about one event",
                fix="use the event's own columns; bring values of other tables in with `enrich: {index: …}`",
                where=_place(place, _start(node)),
            )


def _check_columns(tree: exp.Expression, types: Mapping[str, str], where: str, place: str) -> None:
    """Refuse a name that no column has; names match in any case, as in Spark."""
    from sqlglot import exp

    known = {name.lower() for name in types}
    for column in tree.find_all(exp.Column):
        # ``a.b`` may be the field of a struct: then its first part is the column.
        first = column.parts[0].name
        if first.lower() not in known and not (column.table.lower() == BASE and column.name.lower() in known):
            raise RequestError(
                "sequence.where_column",
                f"the condition {_shown(where)} names {first!r}, which is no column of the events",
                fix=did_you_mean(first, types),
                where=_place(place, _start(column)),
            )


def _check_boolean(query: str, schema: pa.Schema, where: str, place: str) -> None:
    import duckdb
    import pyarrow as pa

    empty = pa.schema([pa.field(field.name, index_type(field.type)) for field in schema]).empty_table()
    with closing(open_database(_SETTINGS)) as db, with_tables(db, {BASE: empty}):
        try:
            kind = str(db.sql(query).types[0])
        except duckdb.Error as exc:
            raise RequestError(
                "sequence.where_types",
                f"the condition {_shown(where)} does not bind: {reason(exc)}",
                fix="mend the types that it names",
                where=place,
            ) from None
    if kind != "BOOLEAN":
        raise RequestError(
            "sequence.where_boolean",
            f"the condition {_shown(where)} gives {kind}, not true or false",
            fix="compare it with something, e.g. amount > 0 or name is not null",
            where=place,
        )


def _expression(query: str) -> str:
    """The one result column of a bound query, without its name."""
    end = f" AS {_ALIAS} FROM {BASE}"
    found = query.removeprefix("SELECT ")
    at = found.rfind(end)
    assert at > 0  # noqa: S101 - the query was written here, and only its expression is the user's
    return found[:at]


def _spark_type(kind: pa.DataType) -> str:
    try:
        return spark_type(from_arrow(index_type(kind)))
    except NbplatError:
        return "binary"


def _start(node: exp.Expression) -> int | None:
    """Offset of the first part of a node that knows its own."""
    starts = [each.meta["start"] for each in node.walk() if "start" in each.meta]
    return min(starts) if starts else None


def _at(exc: RequestError, where: str, place: str) -> str:
    """Where the text that an error quotes stands in the condition."""
    for quoted in re.findall(r"`([^`]+)`|'([^']+)'", f"{exc.message} {exc.where}"):
        found = where.lower().find("".join(quoted).lower())
        if found >= 0:
            return _place(place, found)
    return place


def _shown(where: str) -> str:
    text = " ".join(where.split())
    return f"`{text if len(text) <= 80 else text[:77] + '…'}`"


def _place(place: str, offset: int | None) -> str:
    inside = "" if offset is None else f"character {offset + 1} of the condition"
    return ", ".join(part for part in (place, inside) if part)
