"""The keys that say what a model gets: ``size``, ``features``, ``as_of``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nbplat.errors import did_you_mean
from nbplat.sequence.definition import AsOf, Definition, Feature, Size
from nbplat.sequence.feature_text import read_feature
from nbplat.sequence.keys import MAX_LENGTH
from nbplat.sequence.nodes import Entry, Node, fault
from nbplat.sequence.read_value import Reading

__all__ = ["read_as_of", "read_features", "read_size", "type_token"]

_Keys = Mapping[str, Entry]


def read_size(reading: Reading, keys: _Keys, definition: Definition) -> Size:
    """``size``, with the definition's rules and layout."""
    given = reading.keys(keys["size"].node, ("size",), "size") if "size" in keys else {}
    length, lengths = _length(reading, given, definition)
    return Size(
        length,
        MappingProxyType(lengths),
        reading.word(given, "order", "size") or "newest_first",
        reading.word(given, "pad", "size") or "right",
        reading.word(given, "truncate", "size") or "oldest",
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


def read_features(reading: Reading, keys: _Keys, definition: Definition) -> tuple[Feature, ...]:
    """``features``, and the type token that a mixed sequence needs."""
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


def read_as_of(reading: Reading, keys: _Keys) -> AsOf:
    """``as_of``."""
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
        reading.word(given, "at", "as_of") or "example",
    )
