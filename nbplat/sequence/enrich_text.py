"""Enrichments as they are written: ``lake.items.category @ event_time on item_id by valid_from``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nbplat.declared.key_path import join_path
from nbplat.errors import RequestError, did_you_mean
from nbplat.sequence.definition import Enrichment
from nbplat.sequence.keys import key
from nbplat.sequence.nodes import Node, fault
from nbplat.sequence.read_value import Reading
from nbplat.sequence.small_text import SmallTextError, Word, quote, words
from nbplat.terms import TableName

__all__ = ["ENRICH_FORM", "enrichment_keys", "enrichment_text", "read_enrichment"]

ENRICH_FORM = "table.column @ event_time (or request_time, latest), then if need be: on column, a=b by time_column"
_AT = key("enrich.*.<name>.at").choices
_STAMP = "write `@ event_time`, `@ request_time` or `@ latest`: there is no default, because `latest` leaks"


class _Parts(NamedTuple):
    table: str
    column: str
    at: str
    on: tuple[tuple[str, str], ...]
    time: str | None
    places: Mapping[str, str]


def read_enrichment(reading: Reading, when: str, name: str, node: Node, source: str) -> Enrichment:
    """Read one entry of ``enrich.index`` or ``enrich.read``.

    Args:
        when: ``index`` or ``read``.
        source: Of the definition: a table without a namespace is taken from beside it.
    """
    path = ("enrich", when, name)
    if node.kind == "nothing":
        fix = f"write {ENRICH_FORM}; inside braces a comma ends a value, so quote one that has commas"
        raise fault("value", f"{join_path(*path)} has no value", fix, node.place)
    parts = _of_mapping(reading, path, node) if node.kind == "map" else _of_text(reading, path, node)
    table = _table(reading, path, parts, source)
    if parts.at not in _AT:
        fix = did_you_mean(parts.at, _AT) if parts.at else _STAMP
        raise fault("enrich", f"{join_path(*path)}: {parts.at!r} is no moment", fix, parts.places["at"])
    if when == "index" and parts.at == "request_time":
        message = f"{join_path(*path)}: an index is built once, it knows no request_time"
        raise fault("enrich", message, "put it under enrich.read", parts.places["at"])
    for side in (0, 1):
        if len({pair[side] for pair in parts.on}) < len(parts.on):
            message = f"{join_path(*path)} compares a column twice"
            raise fault("enrich", message, "write each column once", parts.places["from"])
    return Enrichment(name, table, parts.column, parts.at, tuple(sorted(parts.on)), parts.time)


def _table(reading: Reading, path: tuple[str, ...], parts: _Parts, source: str) -> str:
    if "." not in parts.table:
        try:
            namespace = TableName.parse(source).namespace
        except RequestError:
            message = f"{join_path(*path)}: {parts.table!r} has no namespace"
            fix = f"write namespace.{parts.table}: the source is no table that it could stand beside"
            raise fault("enrich", message, fix, parts.places["from"]) from None
        table = f"{namespace}.{parts.table}"
        reading.default((*path, "from"), table)
    else:
        table = parts.table
    try:
        return str(TableName.parse(table))
    except RequestError as exc:
        raise fault("enrich", f"{join_path(*path)}: {exc.message}", exc.fix, parts.places["from"]) from None


# -- the text ----------------------------------------------------------------------------------------


def _of_text(reading: Reading, path: tuple[str, ...], node: Node) -> _Parts:
    if node.kind in ("plain", "text") and "@" not in node.value:
        raise fault("enrich", f"{join_path(*path)}: {node.shown!r} names no moment", _STAMP, node.place)
    return reading.small(node, path, ENRICH_FORM, lambda text: _parsed(text, node), code="enrich")


def _parsed(text: str, node: Node) -> _Parts:
    left = words(text)
    start = left[0].offset
    names = [_name(left, "a table")]
    while _taken(left, "."):
        names.append(_name(left, "a column"))
    if len(names) < 2:
        raise SmallTextError(f"{names[0]!r} is a table without a column, or a column without a table", start)
    if not _taken(left, "@"):
        raise SmallTextError(f"{left[0].shown} stands where @ is needed", left[0].offset)
    at_offset = left[0].offset
    at = _name(left, "a moment")
    on: tuple[tuple[str, str], ...] = ()
    time = None
    if _taken(left, "on"):
        on = (_pair(left),)
        while _taken(left, ","):
            on += (_pair(left),)
    if _taken(left, "by"):
        time = _name(left, "a column")
    if left[0].kind != "end":
        raise SmallTextError(f"{left[0].shown} is too much", left[0].offset)
    places = {"from": node.at(start), "at": node.at(at_offset)}
    return _Parts(".".join(names[:-1]), names[-1], at, on, time, places)


def _pair(left: list[Word]) -> tuple[str, str]:
    ours = _name(left, "a column")
    return (ours, _name(left, "a column")) if _taken(left, "=") else (ours, ours)


def _name(left: list[Word], what: str) -> str:
    word = left.pop(0)
    if word.kind not in ("name", "quoted"):
        raise SmallTextError(f"{word.shown} stands where {what} is needed", word.offset)
    return str(word.value)


def _taken(left: list[Word], text: str) -> bool:
    if left[0].kind in ("mark", "name") and left[0].value == text:
        left.pop(0)
        return True
    return False


# -- the mapping -------------------------------------------------------------------------------------


def _of_mapping(reading: Reading, path: tuple[str, ...], node: Node) -> _Parts:
    keys = reading.keys(node, path, "enrich.*.<name>")
    for needed in ("from", "column", "at"):
        if needed not in keys:
            fix = _STAMP if needed == "at" else f"add {needed}: …"
            raise fault("missing", f"{join_path(*path)} has no {needed!r}", fix, node.place)
    texts = {name: reading.text(keys[name].node, (*path, name), "a name") for name in ("from", "column", "at")}
    time = reading.text(keys["time"].node, (*path, "time"), "a column") if "time" in keys else None
    on = _pairs(reading, (*path, "on"), keys["on"].node) if "on" in keys else ()
    places = {name: keys[name].node.place for name in ("from", "at")}
    return _Parts(texts["from"], texts["column"], texts["at"], on, time, places)


def _pairs(reading: Reading, path: tuple[str, ...], node: Node) -> tuple[tuple[str, str], ...]:
    """``a=b, c``, a list of such pairs, or a mapping of event column to column of the table."""
    if node.kind == "map":
        entries = reading.names(node, path, "on")
        pairs = [(ours, reading.text(entry.node, (*path, ours), "a column")) for ours, entry in entries.items()]
    else:
        items = node.value if node.kind == "list" else [node]
        pairs = [
            pair
            for item in items
            for pair in reading.small(item, path, "columns such as a=b, c", _all_pairs, code="enrich")
        ]
    if not pairs:
        raise fault("value", f"{join_path(*path)} is empty", "write columns such as item_id", node.place)
    return tuple(pairs)


def _all_pairs(text: str) -> list[tuple[str, str]]:
    left = words(text)
    pairs = [_pair(left)]
    while _taken(left, ","):
        pairs.append(_pair(left))
    if left[0].kind != "end":
        raise SmallTextError(f"{left[0].shown} is too much", left[0].offset)
    return pairs


# -- writing -----------------------------------------------------------------------------------------


def enrichment_text(each: Enrichment) -> str:
    """The text that `read_enrichment` reads as this."""
    pairs = (quote(ours) if ours == theirs else f"{quote(ours)}={quote(theirs)}" for ours, theirs in each.on)
    on = f" on {', '.join(pairs)}" if each.on else ""
    by = f" by {quote(each.time)}" if each.time is not None else ""
    return f"{each.table}.{quote(each.column)} @ {each.at}{on}{by}"


def enrichment_keys(each: Enrichment) -> dict[str, Any]:
    """The mapping that `read_enrichment` reads as this."""
    keys: dict[str, Any] = {"from": each.table, "column": each.column, "at": each.at}
    if each.on:
        keys["on"] = dict(each.on)
    if each.time is not None:
        keys["time"] = each.time
    return keys
