"""A tree of values becomes a definition: every key checked, every default filled in and noted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from nbplat.errors import RequestError
from nbplat.sequence.definition import Definition
from nbplat.sequence.keys import key, keys_under
from nbplat.sequence.nodes import Entry, Node, fault
from nbplat.sequence.read_events import EVENTS_EXAMPLE, read_enrichments, read_events
from nbplat.sequence.read_shape import read_as_of, read_features, read_size
from nbplat.sequence.read_times import read_arrival, read_zone
from nbplat.sequence.read_value import Reading
from nbplat.sequence.source_text import source_kind
from nbplat.terms import RunId

__all__ = ["check_name", "read_definition"]

_EXAMPLES = {
    "source": "source: retail.events",
    "entity": "entity: customer_id",
    "time": "time: event_ts",
    "events": EVENTS_EXAMPLE,
}

_Keys = Mapping[str, Entry]


def check_name(name: str, place: str = "") -> str:
    """Return a sequence's or variant's name, or raise RequestError when it cannot be one."""
    try:
        return RunId.check_name(name)
    except RequestError as exc:
        raise fault("name", f"{name!r} cannot name a sequence", exc.fix, place) from None


def read_definition(root: Node, name: str | None) -> Definition:
    """Read everything but ``variants``.

    Args:
        root: The whole declaration.
        name: None: it must have the key ``name``.

    Raises:
        RequestError: an unknown, missing or doubled key, or a value that is not possible; with its place.
    """
    reading = Reading()
    keys = reading.keys(root, (), "")
    for needed, example in _EXAMPLES.items():
        if needed not in keys:
            raise fault("missing", f"the key {needed!r} is missing", f"add {example}", "")
    source = _source(reading, keys["source"].node)
    ids = _columns(reading, keys, "id")
    arrival, early = read_arrival(reading, keys)
    enrich_index, enrich_read = read_enrichments(reading, keys, source)
    definition = Definition(
        name=_name(reading, keys, name),
        source=source,
        entity=_columns(reading, keys, "entity"),
        time=reading.text(keys["time"].node, ("time",), "a column"),
        time_unit=reading.word(keys, "time_unit"),
        zone=read_zone(reading, keys),
        arrival=arrival,
        early=early,
        id=ids,
        dedupe=_dedupe(reading, keys, ids),
        type=_type(reading, keys),
        events=read_events(reading, keys["events"].node),
        enrich_index=enrich_index,
        enrich_read=enrich_read,
        layout=reading.word(keys, "layout") or "mixed",
        show=_columns(reading, keys, "show", list_only=True),
        as_of=read_as_of(reading, keys),
    )
    definition = replace(definition, size=read_size(reading, keys, definition))
    definition = replace(definition, features=read_features(reading, keys, definition))
    _check_roles(definition, reading)
    return replace(
        definition,
        lines=MappingProxyType(reading.lines),
        defaults=tuple(sorted((f"{path}: {value}" for path, value in reading.defaults.items()), key=_place_of_key)),
    )


_ORDER = {name: place for place, name in enumerate(keys_under(""))}


def _place_of_key(line: str) -> int:
    """Defaults are told in the order of the reference."""
    return _ORDER[re.split(r"[.:]", line, maxsplit=1)[0]]


def _columns(reading: Reading, keys: _Keys, name: str, *, list_only: bool = False) -> tuple[str, ...]:
    if name in keys:
        return reading.texts(keys[name].node, (name,), "a column", list_only=list_only)
    reading.default((name,))
    return ()


def _type(reading: Reading, keys: _Keys) -> str:
    if "type" in keys:
        return reading.text(keys["type"].node, ("type",), "a column")
    reading.default(("type",))
    return "event_type"


def _name(reading: Reading, keys: _Keys, name: str | None) -> str:
    if "name" not in keys:
        if name is None:
            raise fault("missing", "the key 'name' is missing", "add name: home_v3", "")
        return check_name(name)
    node = keys["name"].node
    written = check_name(reading.text(node, ("name",), "a lower-case name"), node.place)
    if name not in (None, written):
        raise fault("name", f"it is called {name} outside and {written} inside", "keep one of the two", node.place)
    return written


def _source(reading: Reading, node: Node) -> str:
    text = reading.text(node, ("source",), "a table, a path or the name of a DataFrame")
    try:
        source_kind(text)
    except ValueError as exc:
        fix = "write namespace.table, a path such as data/events/*.parquet, or the name of a DataFrame"
        raise fault("source", f"source: {exc}", fix, node.place) from None
    return text


def _dedupe(reading: Reading, keys: _Keys, ids: tuple[str, ...]) -> str:
    taken = "first" if ids else "none"
    if "dedupe" not in keys:
        reading.default(("dedupe",), taken)
        return taken
    node = keys["dedupe"].node
    written = reading.choice(node, ("dedupe",), key("dedupe").choices)
    if written in ("first", "last") and not ids:
        fix = "name the columns that tell copies, id: event_id, or write dedupe: exact"
        raise fault("dedupe", f"dedupe: {written} needs an id", fix, node.place)
    return written


def _check_roles(definition: Definition, reading: Reading) -> None:
    """One column cannot be two of entity, time, arrival and type."""
    roles = [*((("entity", name), name) for name in definition.entity), (("time",), definition.time)]
    roles += [(("arrival", "column"), definition.arrival)] if definition.arrival is not None else []
    roles += [(("type",), definition.type)]
    taken: dict[str, str] = {}
    for path, column in roles:
        if column in taken:
            place = replace(definition, lines=reading.lines).place(*path)
            message = f"the column {column!r} is both {taken[column]} and {path[0]}"
            raise fault("role", message, "name another column", place)
        taken[column] = path[0]
