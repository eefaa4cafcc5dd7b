"""An SQL body: tables where a table stands, else columns of the tables that the query names, and functions."""

from __future__ import annotations

import re

from nbplat.ui.completion.offer import Names, Offers, offers

__all__ = ["sql_offers"]

_FRAGMENT = re.compile(r"[\w.]*\Z")
_TABLE_NEXT = re.compile(r"\b(?:from|join|table|into|update|describe|desc|extended)\s+\Z", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:from|join)\s+(?P<table>[^\W\d][\w.]*)(?:\s+(?:as\s+)?(?P<alias>[^\W\d]\w*))?", re.IGNORECASE)
_NO_ALIAS = frozenset(
    "on using where group order having limit join left right inner outer full cross semi anti lateral union "
    "tablesample window as".split()
)
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
    tables = [*(["base"] if base else []), *names.tables()]
    if _TABLE_NEXT.search(before[: len(before) - len(fragment)]):
        return offers(fragment, ("table", tables))
    named = _tables(body, base)
    owner, dot, last = fragment.rpartition(".")
    if dot:
        columns = names.columns(named.get(owner, owner)) if owner in named or owner in tables else []
        found = offers(last, ("column", columns))
        if found.found:
            return Offers(fragment, tuple((f"{owner}.{text}", kind) for text, kind in found.found))
        return offers(fragment, ("table", tables))
    columns = [column for table in dict.fromkeys(named.values()) for column in names.columns(table)]
    if not fragment:
        return offers(fragment, ("column", columns))
    words = _KEYWORDS if fragment[0].isupper() else tuple(word.lower() for word in _KEYWORDS)
    return offers(fragment, ("column", columns), ("alias", named), ("function", _functions()), ("keyword", words))


def _tables(body: str, base: str) -> dict[str, str]:
    """Each name that the query gives a table, and the table."""
    found: dict[str, str] = {}
    for match in _NAMED.finditer(_HIDDEN.sub(" ", body)):
        table = base if base and match["table"].lower() == "base" else match["table"]
        found[match["table"]] = table
        alias = match["alias"]
        if alias and alias.lower() not in _NO_ALIAS:
            found[alias] = table
    return found


def _functions() -> tuple[str, ...]:
    from nbplat.backfill.dialect import FUNCTIONS

    return tuple(sorted(FUNCTIONS))
