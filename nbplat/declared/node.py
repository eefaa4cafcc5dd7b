"""One value of a declaration and its place, and the faults that are told about places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from nbplat.errors import RequestError

__all__ = ["MAX_DEPTH", "Entry", "Fault", "Node"]

# Declarations need five levels; a limit makes every walk over the tree finite and safe to recurse.
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


class Fault(Exception):
    """What is wrong at one place of a declaration, before it is known what is declared.

    Args:
        code: Second part of the error's code.
        place: ``line 3, column 5``, the path of a key, or empty.
    """

    def __init__(self, code: str, message: str, fix: str, place: str) -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.place = code, message, fix, place

    def named(self, noun: str) -> RequestError:
        """The error, with what is declared as the first part of its code."""
        return RequestError(f"{noun}.{self.code}", self.message, fix=self.fix, where=self.place)
