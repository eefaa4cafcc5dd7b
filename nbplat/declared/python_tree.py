"""A Python value as the tree that YAML with the same keys makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbplat.declared.key_path import join_path
from nbplat.declared.node import MAX_DEPTH, Entry, Fault, Node

__all__ = ["node_of"]


def node_of(
    value: Any,
    path: str,
    *,
    noun: str,
    places: Mapping[str, str] | None = None,
    texts: Callable[[Any], str | None] = lambda value: None,
) -> Node:
    """A Python value as a tree; every place is the path of its key.

    Args:
        value: Mappings, lists, tuples, texts, numbers, booleans, None, NumPy values, and what `texts`
            knows.
        path: Its own; empty for the whole declaration.
        noun: What is declared: the first part of the errors' codes.
        places: Path -> place, for a declaration that was written somewhere; a path that is not in it has the place of
            the nearest one around it that is.
        texts: Writes values of other types as YAML would hold them; None for a type that it does not know. It may raise
            ValueError, whose text says why.

    Raises:
        RequestError: another type, a key that is no text or integer, or nesting without end.
    """
    try:
        return _node(value, path, _Told(places or {}, texts), path, 0)
    except Fault as exc:
        raise exc.named(noun) from None


@dataclass(frozen=True, slots=True)
class _Told:
    places: Mapping[str, str]
    texts: Callable[[Any], str | None]


def _node(value: Any, path: str, told: _Told, around: str, depth: int) -> Node:
    place = told.places.get(path, around if told.places else path)
    if depth > MAX_DEPTH:
        raise Fault("depth", f"{path} is nested too deep", "write the keys as the reference shows them", place)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        entries: dict[str, Entry] = {}
        for key, each in value.items():
            name = _key(key, path)
            inside = f"{path}.{join_path(name)}" if path else join_path(name)
            if name in entries:
                raise Fault("twice", f"the key {name!r} is given twice", "keep one of the two", inside)
            node = _node(each, inside, told, place, depth + 1)
            entries[name] = Entry(node.place, node)
        return Node("map", entries, place)
    if isinstance(value, list | tuple):
        items = (_node(each, f"{path}[{at}]", told, place, depth + 1) for at, each in enumerate(value))
        return Node("list", tuple(items), place)
    if value is None:
        return Node("nothing", None, place)
    if isinstance(value, bool):
        return Node("truth", value, place)
    if isinstance(value, int | float):
        return Node("number", value, place)
    if isinstance(value, str):
        return Node("text", value, place)
    try:
        text = told.texts(value)
    except ValueError as exc:
        raise Fault("value", f"{path}: {exc}", "give another value", place) from None
    if text is not None:
        return Node("text", text, place)
    raise Fault(
        "value",
        f"{path} is of type {type(value).__name__}",
        "give texts, numbers, booleans, lists and dicts, as in the YAML form",
        place,
    )


def _key(key: Any, path: str) -> str:
    if isinstance(key, str) and key:
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise Fault("key", f"{path or 'the definition'} has the key {key!r}, which is no text", "give a text", path)
