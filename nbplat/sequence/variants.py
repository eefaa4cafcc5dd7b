"""Variants of a definition: the same events, other settings, written as paths with new values.

    short:    {size.length: 50}
    no_click: {events.click: drop}

A variant is the definition with these keys replaced, read again, so whatever is wrong in it is found where it stands.
What decides the index cannot change: all variants share one, and one scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nbplat.declared.key_path import join_path, split_path
from nbplat.errors import RequestError, did_you_mean
from nbplat.sequence.definition import Definition, Enrichment
from nbplat.sequence.keys import FUNCTIONS, KEYS
from nbplat.sequence.nodes import Entry, Node, fault, node_of
from nbplat.sequence.read import check_name, read_definition
from nbplat.sequence.read_value import Reading
from nbplat.sequence.write import feature_keys, to_keys

__all__ = ["DROP", "read_variants", "variant"]

DROP = "drop"
_MAX_VARIANTS = 100

_Path = tuple[str, ...]
_Overrides = Mapping[_Path, Node]

# The paths that a variant may set, as `KEYS` writes them, with the parts of features that the mapping form has.
_OPTIONS = sorted({option.name for function in FUNCTIONS for option in function.options})
_TEMPLATES: tuple[_Path, ...] = (
    *(tuple(each.path.split(".")) for each in KEYS),
    ("size", "length", "<type>"),
    *(("features", "<name>", part) for part in ("function", "column", *_OPTIONS)),
)
_FIXED = ("name", *(each.path for each in KEYS if each.indexed and "<" not in each.path and "." not in each.path))


def variant(definition: Definition, name: str) -> Definition:
    """A definition's variant as a definition of its own, ``home_v3.short``; it has no variants.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in definition.variants:
        fix = did_you_mean(name, definition.variants) or "the definition has none: add one under variants:"
        raise RequestError("sequence.variant", f"{definition.name} has no variant {name!r}", fix=fix)
    path = ("variants", name)
    overrides = {
        split_path(text): node_of(value, join_path(*path, text), places=definition.lines)
        for text, value in definition.variants[name].items()
    }
    return _applied(definition, name, overrides)


def read_variants(definition: Definition, node: Node) -> Definition:
    """The definition with its ``variants``, each read and checked, every value in its shortest form.

    Raises:
        RequestError: an unknown path, one that decides the index, two paths of which one is inside the other, a value
            that is not possible, or a variant that is the same as another or as the definition itself.
    """
    reading = Reading()
    named = reading.names(node, ("variants",), "variants")
    if len(named) > _MAX_VARIANTS:
        raise fault("variant", f"{len(named)} variants", f"keep them at {_MAX_VARIANTS} or less", node.place)
    found: dict[str, Mapping[str, Any]] = {}
    same: dict[str, str] = {definition.version: "the definition itself"}
    enrichments = {each.name: each for each in definition.enrich_index}
    for name, (place, inside) in named.items():
        check_name(name, place)
        overrides = _overrides(reading, definition, name, inside)
        made = _applied(definition, name, overrides)
        if made.version in same:
            message = f"variant {name} comes to the same as {same[made.version]}"
            raise fault("variant", message, "take one of the two away", place)
        same[made.version] = f"variant {name}"
        _check_enrichments(made, name, enrichments, place)
        found[name] = MappingProxyType({join_path(*path): _shortest(made, path) for path in overrides})
    return replace(
        definition,
        variants=MappingProxyType(found),
        lines=MappingProxyType({**definition.lines, **reading.lines}),
    )


def _overrides(reading: Reading, definition: Definition, name: str, node: Node) -> _Overrides:
    if node.kind == "map" and not node.value:
        raise fault("variant", f"variant {name} changes nothing", "give it a path, size.length: 50", node.place)
    overrides: dict[_Path, Node] = {}
    for text, (place, value) in reading.names(node, ("variants", name), "paths to values").items():
        try:
            path = split_path(text)
        except ValueError as exc:
            fix = 'write names with dots between them, in quotes where a name has one: events."page.view"'
            raise fault("path", f"variant {name}: {exc}", fix, place) from None
        _check_path(definition, name, path, place)
        for other in overrides:
            if other[: len(path)] == path or path[: len(other)] == other:
                message = f"variant {name}: {join_path(*other)} and {join_path(*path)} overlap"
                raise fault("variant", message, "write one of the two", place)
        overrides[path] = value
    return overrides


def _check_path(definition: Definition, name: str, path: _Path, place: str) -> None:
    """The path is a key, does not decide the index, and is not inside something that is not there."""
    shown = join_path(*path)
    if path[0] in _FIXED or path[0] == "variants":
        reason = "it decides the index that all variants share" if path[0] != "name" else "a variant has its own name"
        if path[0] == "variants":
            reason = "a variant has no variants"
        fix = "make it a definition of its own"
        raise fault("variant", f"variant {name} cannot set {shown}: {reason}", fix, place)
    if not any(_fits(path, template) for template in _TEMPLATES):
        known = {
            join_path(*own[:end]) for t in _TEMPLATES if (own := _concrete(path, t)) for end in range(1, len(own) + 1)
        }
        known |= {join_path("events", name) for name in _names(definition, ("events",))}
        raise fault("path", f"variant {name}: there is no key {shown}", did_you_mean(shown, known), place)
    depth = 3 if path[0] == "enrich" else 2
    if len(path) > depth and path[0] in ("events", "features", "enrich"):
        there = _names(definition, path[: depth - 1])
        if path[depth - 1] not in there:
            inside = join_path(*path[: depth - 1])
            fix = did_you_mean(path[depth - 1], there) or f"add it whole: {join_path(*path[:depth])}: …"
            message = f"variant {name}: {inside} has no {path[depth - 1]!r}"
            raise fault("path", message, fix, place)


def _names(definition: Definition, path: _Path) -> tuple[str, ...]:
    named = {
        ("events",): (rule.event_type for rule in definition.events),
        ("features",): (each.name for each in definition.features),
        ("enrich", "index"): (each.name for each in definition.enrich_index),
        ("enrich", "read"): (each.name for each in definition.enrich_read),
    }
    return tuple(named.get(path, ()))


def _fits(path: _Path, template: _Path) -> bool:
    """The path is the template's, or a key above it."""
    return len(path) <= len(template) and all(
        want.startswith("<") or want == "*" or got == want for got, want in zip(path, template, strict=False)
    )


def _concrete(path: _Path, template: _Path) -> _Path:
    """The template with the path's own names in it, to find near ones by; empty when it has too few, or is fixed."""
    if template[0] in (*_FIXED, "variants"):
        return ()
    given = {at: name for at, name in enumerate(path) if at < len(template) and template[at].startswith(("<", "*"))}
    own = tuple(given.get(at, want) for at, want in enumerate(template))
    return () if any(name.startswith(("<", "*")) for name in own) else own


def _applied(definition: Definition, name: str, overrides: _Overrides) -> Definition:
    keys = to_keys(replace(definition, variants={}), structured=True)
    for each in definition.features:
        if any(path[:2] == ("features", each.name) for path in overrides):
            # The type token that a mixed sequence has of itself is not written, and is there to be set.
            keys.setdefault("features", {}).setdefault(each.name, feature_keys(each))
    root = node_of(keys, "", places=definition.lines)
    for path, node in overrides.items():
        try:
            _set(root, path, node, overrides)
        except LookupError as exc:
            message = f"variant {name}: {join_path(*path[:-1])} has no {path[-1]!r} to drop"
            fix = did_you_mean(path[-1], exc.args) or "take the line out"
            raise fault("variant", message, fix, node.place) from None
    try:
        made = read_definition(root, definition.name)
    except RequestError as exc:
        where = exc.where or definition.place("variants", name)
        raise RequestError(exc.code, f"variant {name}: {exc.message}", fix=exc.fix, where=where) from None
    _check_drops(made, name, overrides)
    # What the definition wrote in full is no default of the variant, though it was not written there again.
    known = {line.partition(": ")[0] for line in definition.defaults}
    changed = tuple(join_path(*path) for path in overrides)
    unwritten = tuple(
        line
        for line in made.defaults
        if (at := line.partition(": ")[0]) in known or any(f"{at}.".startswith(f"{path}.") for path in changed)
    )
    return replace(made, name=f"{definition.name}.{name}", defaults=unwritten)


def _set(root: Node, path: _Path, node: Node, overrides: _Overrides) -> None:
    """Put a value at a path, or take what is there away. Raises LookupError, with what is there: not this."""
    at = root
    for step in path[:-1]:
        entry = at.value.get(step)
        if entry is None:
            entry = at.value[step] = Entry(node.place, Node("map", {}, node.place))
        elif entry.node.kind != "map":
            shown = join_path(*path)
            message = f"{shown} is inside {step}, which is {entry.node.shown}"
            raise fault("path", message, f"set {step} as a whole", node.place)
        at = entry.node
    if not _is_drop(node):
        at.value[path[-1]] = Entry(node.place, node)
        return
    named = path[:-1] in (("events",), ("features",), ("enrich", "index"), ("enrich", "read"))
    if at.value.pop(path[-1], None) is None and named:
        raise LookupError(*at.value)
    if path[:-1] == ("events",) and ("size", "length") not in overrides:
        # A type that is gone has no length either.
        size = root.value.get("size")
        length = size.node.value.get("length") if size else None
        if length and length.node.kind == "map":
            length.node.value.pop(path[-1], None)
            if not length.node.value:
                size.node.value.pop("length")


def _check_drops(made: Definition, name: str, overrides: _Overrides) -> None:
    left = {("features", each.name) for each in made.features}
    for path, node in overrides.items():
        if path in left and _is_drop(node):
            message = f"variant {name} cannot drop {join_path(*path)}: it tells the types of a mixed sequence apart"
            raise fault("variant", message, "take the line out, or set layout: per_type as well", node.place)


def _is_drop(node: Node) -> bool:
    return node.kind in ("plain", "text") and node.value == DROP


def _check_enrichments(made: Definition, name: str, known: dict[str, Enrichment], place: str) -> None:
    for each in made.enrich_index:
        if known.setdefault(each.name, each) != each:
            message = f"variant {name} cannot change enrich.index.{each.name}: all variants share one index"
            raise fault("variant", message, "give it another name, or put it under enrich.read", place)


def _shortest(made: Definition, path: _Path) -> Any:
    """A path's value in the definition it made, in one form however it was written; ``drop`` when there is none."""
    for keys in (to_keys(made), to_keys(made, structured=True), to_keys(made, full=True, structured=True)):
        value: Any = keys
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return DROP
