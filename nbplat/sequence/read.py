"""A tree of values becomes a definition: every key checked, every default filled in and noted."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.sequence.definition import (
    MAX_LAST,
    AsOf,
    Definition,
    Enrichment,
    EventRule,
    Feature,
    Size,
    Zone,
)
from nbplat.sequence.enrich_text import read_enrichment
from nbplat.sequence.feature_text import read_feature
from nbplat.sequence.keys import MAX_LENGTH, key
from nbplat.sequence.nodes import Entry, Node, fault
from nbplat.sequence.paths import join_path
from nbplat.sequence.read_value import Reading
from nbplat.sequence.select_text import read_select
from nbplat.sequence.source_text import source_kind
from nbplat.sequence.where_text import where_columns
from nbplat.terms import RunId

__all__ = ["check_name", "read_definition", "type_token"]

_EXAMPLES = {
    "source": "source: retail.events",
    "entity": "entity: customer_id",
    "time": "time: event_ts",
    "events": "events: {purchase: {last: 50}}",
}

_CONDITION = "one condition in Spark SQL, such as amount > 0"

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
    entity = reading.texts(keys["entity"].node, ("entity",), "a column")
    time = reading.text(keys["time"].node, ("time",), "a column")
    ids = _optional(reading, keys, "id", lambda node: reading.texts(node, ("id",), "a column"), ())
    arrival, early = _arrival(reading, keys)
    definition = Definition(
        name=_name(reading, keys, name),
        source=source,
        entity=entity,
        time=time,
        time_unit=_choice(reading, keys, "time_unit"),
        zone=_zone(reading, keys),
        arrival=arrival,
        early=early,
        id=ids,
        dedupe=_dedupe(reading, keys, ids),
        type=_optional(reading, keys, "type", lambda node: reading.text(node, ("type",), "a column"), "event_type"),
        events=_events(reading, keys["events"].node),
        **_enrichments(reading, keys, source),
        layout=_choice(reading, keys, "layout") or "mixed",
    )
    definition = replace(definition, size=_size(reading, keys, definition))
    definition = replace(definition, features=_features(reading, keys, definition))
    show = _optional(reading, keys, "show", lambda n: reading.texts(n, ("show",), "a column", list_only=True), ())
    definition = replace(definition, show=show, as_of=_as_of(reading, keys))
    _check_roles(definition, reading)
    return replace(
        definition,
        lines=MappingProxyType(reading.lines),
        defaults=tuple(f"{path}: {value}" for path, value in reading.defaults.items()),
    )


def _optional(reading: Reading, keys: _Keys, name: str, read: Callable[[Node], Any], otherwise: Any) -> Any:
    if name in keys:
        return read(keys[name].node)
    reading.default((name,))
    return otherwise


def _choice(reading: Reading, keys: _Keys, name: str, *above: str) -> str | None:
    """A word of the key's closed set; None when it is not written."""
    declared = key(join_path(*above, name))
    if name in keys:
        return reading.choice(keys[name].node, (*above, name), declared.choices)
    reading.default((*above, name))
    return None


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


def _zone(reading: Reading, keys: _Keys) -> Zone | None:
    if "timezone" not in keys:
        reading.default(("timezone",))
        return None
    node = keys["timezone"].node
    inside: _Keys = {"zone": keys["timezone"]}
    path: tuple[str, ...] = ("timezone",)
    if node.kind == "map":
        inside = reading.keys(node, path, "timezone")
        path = ("timezone", "zone")
        if "zone" not in inside:
            raise fault("missing", "timezone has no zone", "add zone: Europe/London", node.place)
    zone = reading.text(inside["zone"].node, path, "an IANA zone such as Europe/London")
    if not _known_zone(zone):
        fix = did_you_mean(zone, zoneinfo.available_timezones())
        raise fault("timezone", f"there is no time zone {zone!r}", fix, inside["zone"].node.place)
    given = inside if node.kind == "map" else {}
    return Zone(
        zone,
        _choice(reading, given, "ambiguous", "timezone") or "refuse",
        _choice(reading, given, "missing", "timezone") or "refuse",
    )


def _known_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _arrival(reading: Reading, keys: _Keys) -> tuple[str | None, str]:
    if "arrival" not in keys:
        reading.default(("arrival",))
        return None, "refuse"
    node = keys["arrival"].node
    if node.kind != "map":
        early = _choice(reading, {}, "early", "arrival")
        return reading.text(node, ("arrival",), "a column"), early or "refuse"
    inside = reading.keys(node, ("arrival",), "arrival")
    if "column" not in inside:
        raise fault("missing", "arrival has no column", "add column: ingest_ts", node.place)
    column = reading.text(inside["column"].node, ("arrival", "column"), "a column")
    return column, _choice(reading, inside, "early", "arrival") or "refuse"


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


# -- events --------------------------------------------------------------------------------------------


def _events(reading: Reading, node: Node) -> tuple[EventRule, ...]:
    types = reading.names(node, ("events",), "events")
    if not types:
        raise fault("events", "events names no type", f"write {_EXAMPLES['events']}", node.place)
    return tuple(_rule(reading, event_type, entry.node) for event_type, entry in types.items())


def _rule(reading: Reading, event_type: str, node: Node) -> EventRule:
    path = ("events", event_type)
    if node.kind != "map":
        example = node.value if node.kind in ("plain", "number") and str(node.value).isdigit() else 50
        message = f"{join_path(*path)}: {node.shown} is no mapping"
        raise fault("events", message, f"write {event_type}: {{last: {example}}}", node.place)
    keys = reading.keys(node, path, "events.<type>")
    for name in ("last", "within", "where", "select"):
        if name not in keys:
            reading.default((*path, name), declared=f"events.<type>.{name}")
    last = reading.whole(keys["last"].node, (*path, "last"), 1, MAX_LAST, code="last") if "last" in keys else MAX_LAST
    return EventRule(
        event_type,
        last,
        reading.duration(keys["within"].node, (*path, "within"), least_us=1) if "within" in keys else None,
        _where(reading, (*path, "where"), keys["where"].node) if "where" in keys else None,
        read_select(reading, (*path, "select"), keys["select"].node, last) if "select" in keys else None,
    )


def _where(reading: Reading, path: tuple[str, ...], node: Node) -> str:
    text = reading.text(node, path, _CONDITION, lines=True)
    reading.small(node, path, _CONDITION, where_columns, code="where")
    return text.strip()


def _enrichments(reading: Reading, keys: _Keys, source: str) -> dict[str, Any]:
    if "enrich" not in keys:
        reading.default(("enrich",))
        return {}
    found: dict[str, tuple[Enrichment, ...]] = {}
    names: dict[str, str] = {}
    for when, entry in reading.keys(keys["enrich"].node, ("enrich",), "enrich").items():
        each = reading.names(entry.node, ("enrich", when), "enrichments")
        for name, (place, _) in each.items():
            if name in names:
                message = f"the enrichment {name!r} is written twice"
                raise fault("twice", message, f"keep one of the two, the other is at {names[name]}", place)
            names[name] = place
        made = (read_enrichment(reading, when, name, inner.node, source) for name, inner in each.items())
        found[f"enrich_{when}"] = tuple(made)
    return found


# -- shape ---------------------------------------------------------------------------------------------


def _size(reading: Reading, keys: _Keys, definition: Definition) -> Size:
    given = reading.keys(keys["size"].node, ("size",), "size") if "size" in keys else {}
    length, lengths = _length(reading, given, definition)
    return Size(
        length,
        MappingProxyType(lengths),
        _choice(reading, given, "order", "size") or "newest_first",
        _choice(reading, given, "pad", "size") or "right",
        _choice(reading, given, "truncate", "size") or "oldest",
    )


def _length(reading: Reading, given: _Keys, definition: Definition) -> tuple[int | None, dict[str, int]]:
    path = ("size", "length")
    most = {rule.event_type: rule.most for rule in definition.events}
    if "length" not in given:
        reading.default(path, _all_text(most, mixed=definition.layout == "mixed"))
        return None, {}
    node = given["length"].node
    if node.kind in ("plain", "text") and node.value == "all":
        return None, {}
    if node.kind != "map":
        return reading.whole(node, path, 1, MAX_LENGTH, code="length"), {}
    if definition.layout == "mixed":
        fix = "write one number, or layout: per_type"
        raise fault("size", "size.length: a mixed sequence has one length", fix, node.place)
    lengths = {}
    for event_type, entry in reading.names(node, path, "lengths by type").items():
        if event_type not in most:
            message = f"size.length names {event_type!r}, which is no type of events"
            raise fault("size", message, did_you_mean(event_type, most), entry.place)
        lengths[event_type] = reading.whole(entry.node, (*path, event_type), 1, MAX_LENGTH, code="length")
    for event_type in most.keys() - lengths.keys():
        reading.default((*path, event_type), f"{most[event_type]} (all)")
    return None, lengths


def _all_text(most: Mapping[str, int], *, mixed: bool) -> str:
    if not mixed:
        return "all (" + ", ".join(f"{name} {number}" for name, number in most.items()) + ")"
    parts = " + ".join(f"{name} {number}" for name, number in most.items())
    return f"all ({sum(most.values())} = {parts})" if len(most) > 1 else f"all ({sum(most.values())})"


def _features(reading: Reading, keys: _Keys, definition: Definition) -> tuple[Feature, ...]:
    given: _Keys = {}
    if "features" in keys:
        given = reading.names(keys["features"].node, ("features",), "features")
    elif definition.layout != "mixed":
        reading.default(("features",), "none")
    found = tuple(read_feature(reading, name, entry.node) for name, entry in given.items())
    if definition.layout != "mixed" or any(each.column == definition.type for each in found):
        return found
    if definition.type in given:
        fix = f"add {definition.type}_token: vocab({definition.type})"
        message = f"features.{definition.type} is not over the column {definition.type}, and nothing tells types apart"
        raise fault("feature", message, fix, given[definition.type].node.place)
    reading.default(("features", definition.type), "vocab (tells the types of a mixed sequence apart)")
    return (*found, type_token(definition.type))


def type_token(column: str) -> Feature:
    """The feature that a mixed sequence gets over its type column when it has none."""
    return read_feature(Reading(), column, Node("text", "vocab", ""))


def _as_of(reading: Reading, keys: _Keys) -> AsOf:
    given = reading.keys(keys["as_of"].node, ("as_of",), "as_of") if "as_of" in keys else {}
    for name in ("time", "strict", "gap"):
        if name not in given:
            reading.default(("as_of", name))
    return AsOf(
        reading.text(given["time"].node, ("as_of", "time"), "a column of the examples")
        if "time" in given
        else "label_ts",
        reading.truth(given["strict"].node, ("as_of", "strict")) if "strict" in given else True,
        reading.duration(given["gap"].node, ("as_of", "gap")) if "gap" in given else 0,
        _choice(reading, given, "at", "as_of") or "example",
    )


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
