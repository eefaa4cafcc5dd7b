"""A definition as the keys, and as the YAML, that read as it again; only what is not the default is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbplat.sequence.definition import MAX_LAST, Definition, EventRule, Feature, Size
from nbplat.sequence.durations import duration_text
from nbplat.sequence.enrich_text import enrichment_keys, enrichment_text
from nbplat.sequence.feature_options import option_text, written_options
from nbplat.sequence.feature_text import feature_text
from nbplat.sequence.read_shape import type_token
from nbplat.sequence.select_text import select_text

__all__ = ["feature_keys", "to_keys", "to_yaml"]


def to_keys(definition: Definition, *, full: bool = False, structured: bool = False) -> dict[str, Any]:
    """The mapping that `from_keys` reads as this definition; texts, numbers, booleans, lists and mappings only.

    Args:
        full: With what is at its default as well; a key whose default is that there is none is never written.
        structured: Enrichments and features as mappings of their parts instead of as texts, the time zone and the
            arrival too.
    """
    d = definition
    keys: dict[str, Any] = {"source": d.source, "entity": _one_or_list(d.entity), "time": d.time}
    _put(keys, "time_unit", d.time_unit, None)
    if d.zone is not None:
        zone = {"zone": d.zone.name}
        _put(zone, "ambiguous", d.zone.ambiguous, "refuse", full)
        _put(zone, "missing", d.zone.missing, "refuse", full)
        keys["timezone"] = zone if structured or len(zone) > 1 else d.zone.name
    if d.arrival is not None:
        arrival = {"column": d.arrival}
        _put(arrival, "early", d.early, "refuse", full)
        keys["arrival"] = arrival if structured or len(arrival) > 1 else d.arrival
    if d.id:
        keys["id"] = _one_or_list(d.id)
    _put(keys, "dedupe", d.dedupe, "first" if d.id else "none", full)
    _put(keys, "type", d.type, "event_type", full)
    keys["events"] = {rule.event_type: _rule_keys(rule, full) for rule in d.events}
    enrich = {
        when: {each.name: enrichment_keys(each) if structured else enrichment_text(each) for each in found}
        for when, found in (("index", d.enrich_index), ("read", d.enrich_read))
        if found
    }
    _put(keys, "enrich", enrich, {})
    _put(keys, "layout", d.layout, "mixed", full)
    _put(keys, "size", _size_keys(d.size, full), {})
    features = d.features
    if not full and d.layout == "mixed" and features and features[-1] == type_token(d.type):
        # The reader adds it again, unless another feature is over the type column.
        others = features[:-1]
        features = others if all(each.column != d.type for each in others) else features
    parts = {each.name: feature_keys(each, full=full) if structured else feature_text(each) for each in features}
    _put(keys, "features", parts, {})
    _put(keys, "show", list(d.show), [])
    _put(keys, "as_of", _as_of_keys(d, full), {})
    _put(keys, "variants", {name: dict(paths) for name, paths in d.variants.items()}, {})
    return keys


def _put(into: dict[str, Any], name: str, value: Any, default: Any, full: bool = False) -> None:
    if full or value != default:
        into[name] = value


def _one_or_list(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _rule_keys(rule: EventRule, full: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    _put(keys, "last", rule.last, MAX_LAST, full)
    if rule.within_us is not None:
        keys["within"] = duration_text(rule.within_us)
    _put(keys, "where", rule.where, None)
    if rule.select is not None:
        keys["select"] = select_text(rule.select)
    return keys


def _size_keys(size: Size, full: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if size.lengths:
        keys["length"] = dict(size.lengths)
    else:
        _put(keys, "length", "all" if size.length is None else size.length, "all", full)
    _put(keys, "order", size.order, "newest_first", full)
    _put(keys, "pad", size.pad, "right", full)
    _put(keys, "truncate", size.truncate, "oldest", full)
    return keys


def feature_keys(feature: Feature, *, full: bool = False) -> dict[str, Any]:
    """One feature as the mapping of its parts; `full` is that of `to_keys`."""
    options = {name: value for name, value in feature.options if value is not None} if full else {}
    options |= written_options(feature)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {"function": feature.function, "column": feature.column, **plain}


def _as_of_keys(d: Definition, full: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    _put(keys, "time", d.as_of.time, "label_ts", full)
    _put(keys, "strict", d.as_of.strict, True, full)
    _put(keys, "gap", duration_text(d.as_of.gap_us), "0s", full)
    _put(keys, "at", d.as_of.at, "example", full)
    return keys


# -- YAML ----------------------------------------------------------------------------------------------


_OPEN = ("events", "enrich", "index", "read", "features", "variants")
_PLAIN = re.compile(r"[A-Za-z_/](?:[\w./*()=@-]|(?<! ) (?=[\w@(]))*\Z", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]+(?:us|ms|[dhms]))+\Z", re.ASCII)
# What some reader of YAML takes for something else than a text.
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
_PRINTABLE = re.compile(r"[\x20-\x7e\xa1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def to_yaml(definition: Definition, *, name: bool = False) -> str:
    """The YAML that `parse_definition` reads as this definition, with the same version.

    Comments and the way it was written first are not kept.

    Args:
        name: Begin with the key ``name``.
    """
    keys = to_keys(definition)
    if name:
        keys = {"name": definition.name, **keys}
    return "".join(f"{line}\n" for line in _lines(keys, 0))


def _lines(keys: Mapping[str, Any], depth: int) -> Iterable[str]:
    for name, value in keys.items():
        lead = "  " * depth + _scalar(name) + ":"
        if isinstance(value, Mapping) and value and (name in _OPEN if depth < 2 else False):
            yield lead
            yield from _lines(value, depth + 1)
        else:
            yield f"{lead} {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _DURATION.match(value) or (_PLAIN.match(value) and value.lower() not in _WORDS)
        return value if plain else _quoted(value)
    return option_text(value) if not isinstance(value, bool) else str(value).lower()


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if _PRINTABLE.match(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
