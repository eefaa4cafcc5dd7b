"""A declaration as a tree of values that know where they were written; YAML and Python calls both become one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nbplat.errors import RequestError
from nbplat.sequence.durations import duration_text
from nbplat.sequence.paths import join_path

__all__ = ["MAX_DEPTH", "Entry", "Node", "fault", "node_of"]

# A definition needs five levels; a limit makes every walk over the tree finite and safe to recurse.
MAX_DEPTH = 32


class Entry(NamedTuple):
    """A key's place and its value."""

    place: str
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a declaration.

    Attributes:
        kind: ``plain`` (YAML without quotes: whoever reads it decides what it is), ``text``, ``number``, ``truth``,
            ``nothing``, ``list`` or ``map``.
        value: str, int or float, bool, None, tuple of `Node`, or dict of key -> `Entry` in the order written.
        place: ``line 3, column 5``, or the path of the key in a Python call.
        start: Line and column of the first character of a text that stands in one line as it is; None: not so.
        weight: Values in it, its own included, aliases unfolded.
    """

    kind: str
    value: Any
    place: str
    start: tuple[int, int] | None = None
    weight: int = 1

    def at(self, offset: int) -> str:
        """Place of one character of a text, counted from 0; the text's own where that cannot be told."""
        if self.start is None:
            return self.place
        return f"line {self.start[0]}, column {self.start[1] + offset}"

    @property
    def shown(self) -> str:
        """The value as a message shows it, short."""
        if self.kind in ("list", "map"):
            return "[…]" if self.kind == "list" else "{…}"
        text = {"nothing": "nothing", "truth": str(self.value).lower()}.get(self.kind, str(self.value))
        return text if len(text) <= 60 else text[:57] + "…"


def fault(code: str, message: str, fix: str, place: str) -> RequestError:
    """An error about one place of a declaration; the code gets the prefix ``sequence.``."""
    return RequestError(f"sequence.{code}", message, fix=fix, where=place)


def node_of(value: Any, path: str, *, places: Mapping[str, str] | None = None) -> Node:
    """A Python value as a tree; every place is the path of its key.

    Args:
        value: Mappings, lists, tuples, texts, numbers, booleans, None, NumPy values, and `datetime.timedelta` for a
            duration.
        path: Its own; empty for the whole declaration.
        places: Path -> place, for a declaration that was written somewhere; a path that is not in it has the place of
            the nearest one around it that is.

    Raises:
        RequestError: another type, a key that is no text or integer, or nesting without end.
    """
    return _node(value, path, places or {}, path, 0)


def _node(value: Any, path: str, places: Mapping[str, str], around: str, depth: int) -> Node:
    place = places.get(path, around if places else path)
    if depth > MAX_DEPTH:
        raise fault("depth", f"{path} is nested too deep", "write the keys as the reference shows them", place)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        entries: dict[str, Entry] = {}
        for key, each in value.items():
            name = _key(key, path)
            inside = f"{path}.{join_path(name)}" if path else join_path(name)
            if name in entries:
                raise fault("twice", f"the key {name!r} is given twice", "keep one of the two", inside)
            node = _node(each, inside, places, place, depth + 1)
            entries[name] = Entry(node.place, node)
        return Node("map", entries, place)
    if isinstance(value, list | tuple):
        items = (_node(each, f"{path}[{at}]", places, place, depth + 1) for at, each in enumerate(value))
        return Node("list", tuple(items), place)
    if isinstance(value, dt.timedelta):
        if value < dt.timedelta(0):
            raise fault("value", f"{path}: {value} is negative", "give a positive duration", place)
        return Node("text", duration_text(value // dt.timedelta(microseconds=1)), place)
    if value is None:
        return Node("nothing", None, place)
    if isinstance(value, bool):
        return Node("truth", value, place)
    if isinstance(value, int | float):
        return Node("number", value, place)
    if isinstance(value, str):
        return Node("text", value, place)
    raise fault(
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
    raise fault("key", f"{path or 'the definition'} has the key {key!r}, which is no text", "give a text", path)
