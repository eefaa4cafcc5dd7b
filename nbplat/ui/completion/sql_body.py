"""An SQL body: tables where a table stands, else columns of the tables that the query names, and functions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nbplat.ui.completion.offer import Names, Offers, offers

__all__ = ["sql_offers"]

_FRAGMENT = re.compile(r"[\w.]*\Z")
_TABLE_NEXT = re.compile(r"\b(?:from|join|table|into|update|describe|desc|extended)\s+\Z", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:from|join)\s+(?P<table>[^\W\d][\w.]*)(?:\s+(?:as\s+)?(?P<alias>[^\W\d]\w*))?", re.IGNORECASE)
_NO_ALIAS = frozenset(
    "on using where group order having limit join left right inner outer full cross semi anti lateral union "
    "tablesample window as".split()
)
_WITH = re.compile(r"(?:\bwith\s+(?:recursive\s+)?|,\s*)(?P<name>[^\W\d]\w*)\s+as\s*\(", re.IGNORECASE)
_SHOW = re.compile(r"^\s*show\s+\Z", re.IGNORECASE)
_SHOWN = ("TABLES", "NAMESPACES", "COLUMNS IN", "CREATE TABLE", "FUNCTIONS", "PARTITIONS", "TBLPROPERTIES", "VIEWS")
_HIDDEN = re.compile(r"--[^\n]*|/\*.*?\*/|'[^']*'", re.DOTALL)
_KEYWORDS = tuple(
    "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT LEFT JOIN INNER ON AND OR NOT NULL IS IN BETWEEN LIKE CASE WHEN "
    "THEN ELSE END DISTINCT AS WITH UNION ALL OVER PARTITION INTERVAL CAST EXISTS".split()
)


def sql_offers(body: str, cursor: int, names: Names, base: str = "") -> Offers:
    """What may stand at a character of a query.

    Args:
        base: The table that the query calls ``base``; empty when there is none.
    """
    before = body[:cursor]
    match = _FRAGMENT.search(before)
    fragment = match[0] if match else ""
    queries = _named_queries(body)
    tables = [*(["base"] if base else []), *queries, *names.tables()]
    before_it = before[: len(before) - len(fragment)]
    if _SHOW.search(before_it):
        return offers(fragment, ("keyword", _SHOWN))
    if _TABLE_NEXT.search(before_it):
        return offers(fragment, ("table", tables))
    named = _tables(body, base)
    owner, dot, last = fragment.rpartition(".")
    if dot:
        known = owner in named or owner in tables
        found = offers(last, ("column", _columns(named.get(owner, owner), names, queries) if known else []))
        if found.found:
            return Offers(fragment, tuple((f"{owner}.{text}", kind) for text, kind in found.found), only=True)
        return offers(fragment, ("table", tables))
    columns = [column for table in dict.fromkeys(named.values()) for column in _columns(table, names, queries)]
    if not fragment:
        return offers(fragment, ("column", columns))
    words = _KEYWORDS if fragment[0].isupper() else tuple(word.lower() for word in _KEYWORDS)
    return offers(fragment, ("column", columns), ("alias", named), ("function", _functions()), ("keyword", words))


def _tables(body: str, base: str) -> dict[str, str]:
    """Each name that the query gives a table, and the table."""
    # A query has it before it says so: SELECT is written before FROM.
    found: dict[str, str] = {"base": base} if base else {}
    for match in _NAMED.finditer(_HIDDEN.sub(" ", body)):
        table = base if base and match["table"].lower() == "base" else match["table"]
        found[match["table"]] = table
        alias = match["alias"]
        if alias and alias.lower() not in _NO_ALIAS:
            found[alias] = table
    return found


def _named_queries(body: str) -> dict[str, str]:
    """Each name that a ``WITH`` gives a query, and the query's text; one that is not closed yet is left out."""
    plain = _HIDDEN.sub(lambda match: " " * len(match[0]), body)
    found: dict[str, str] = {}
    for match in _WITH.finditer(plain):
        depth, at = 1, match.end()
        while at < len(plain) and depth:
            depth += {"(": 1, ")": -1}.get(plain[at], 0)
            at += 1
        if not depth:
            found[match["name"]] = body[match.end() : at - 1]
    return found


def _columns(table: str, names: Names, queries: Mapping[str, str]) -> list[str]:
    """Columns of a table, or of the query that has its name."""
    if table not in queries:
        return names.columns(table)
    query = queries[table]
    inner = {name: text for name, text in queries.items() if name != table}
    under = [column for each in _tables(query, "").values() for column in _columns(each, names, inner)]
    found = _selected(query)
    return [column for each in found for column in (under if each == "*" else [each])] if found else under


def _selected(query: str) -> list[str]:
    """Names of what a query selects; empty when it cannot be read."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return list(getattr(sqlglot.parse_one(query, read="spark"), "named_selects", []))
    except SqlglotError:
        return []


def _functions() -> tuple[str, ...]:
    from nbplat.backfill.dialect import FUNCTIONS

    return tuple(sorted(FUNCTIONS))
