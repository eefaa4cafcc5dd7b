"""The keys that say which events a sequence holds, and what other tables add to them."""

from __future__ import annotations

from collections.abc import Mapping

from nbplat.declared.key_path import join_path
from nbplat.sequence.definition import MAX_LAST, Enrichment, EventRule
from nbplat.sequence.enrich_text import read_enrichment
from nbplat.sequence.nodes import Entry, Node, fault
from nbplat.sequence.read_value import Reading
from nbplat.sequence.select_text import read_select
from nbplat.sequence.where_text import where_columns

__all__ = ["EVENTS_EXAMPLE", "read_enrichments", "read_events"]

EVENTS_EXAMPLE = "events: {purchase: {last: 50}}"

_CONDITION = "one condition in Spark SQL, such as amount > 0"

_Keys = Mapping[str, Entry]


def read_events(reading: Reading, node: Node) -> tuple[EventRule, ...]:
    """``events``: one rule a type, in the order written."""
    types = reading.names(node, ("events",), "events")
    if not types:
        raise fault("events", "events names no type", f"write {EVENTS_EXAMPLE}", node.place)
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


def read_enrichments(
    reading: Reading, keys: _Keys, source: str
) -> tuple[tuple[Enrichment, ...], tuple[Enrichment, ...]]:
    """``enrich``: what is added when the index is built, and when it is read."""
    if "enrich" not in keys:
        reading.default(("enrich",))
        return (), ()
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
        found[when] = tuple(made)
    return found.get("index", ()), found.get("read", ())
