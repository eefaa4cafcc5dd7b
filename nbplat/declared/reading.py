"""What a value of a declaration may be: a text, a number, a choice; anything else is refused where it stands."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from nbplat.declared.key_path import join_path
from nbplat.declared.node import Entry, Fault, Node
from nbplat.errors import RequestError, did_you_mean

__all__ = ["Reading"]

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class Reading(ABC):
    """One pass over a tree of values. A subclass says what is declared and which keys there are.

    Attributes:
        noun: What is declared: the first part of the errors' codes.
        lines: Path -> place of every key that was met.
        defaults: What was not written and is taken, in the order met: ``{"type": "event_type"}``.
    """

    noun: ClassVar[str]

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self.defaults: dict[str, str] = {}

    @abstractmethod
    def known(self, declared: str) -> tuple[str, ...]:
        """The closed set of keys under a declared path; the empty path is the whole declaration."""

    def nearest(self, name: str, known: tuple[str, ...]) -> str:
        """What to do about a key that is not in the set."""
        return did_you_mean(name, known)

    def fault(self, code: str, message: str, fix: str, place: str) -> RequestError:
        """An error about one place."""
        return Fault(code, message, fix, place).named(self.noun)

    def names(self, node: Node, path: Sequence[str], what: str) -> dict[str, Entry]:
        """Entries of a mapping whose keys the person names."""
        if node.kind != "map":
            fix = f"write {what} as a mapping of names to values"
            raise self.fault("shape", f"{join_path(*path)}: {node.shown} is no mapping", fix, node.place)
        entries: dict[str, Entry] = node.value
        for name, entry in entries.items():
            self._check_printable(name, join_path(*path), entry.place)
            scalar = entry.node.kind != "map"
            self.lines[join_path(*path, name)] = entry.node.place if scalar else entry.place
        return entries

    def keys(self, node: Node, path: Sequence[str], declared: str) -> dict[str, Entry]:
        """Entries of a mapping with a closed set of keys: those that `known` gives for `declared`.

        Raises:
            RequestError: no mapping, or a key that is not in the set.
        """
        known = self.known(declared)
        here = join_path(*path) or "the definition"
        if node.kind != "map":
            fix = f"write it as a mapping with the keys {', '.join(known)}"
            raise self.fault("shape", f"{here}: {node.shown} is no mapping", fix, node.place)
        for name, entry in node.value.items():
            if name not in known:
                raise self.fault("key", f"{here} has no key {name!r}", self.nearest(name, known), entry.place)
        return self.names(node, path, here)

    def text(self, node: Node, path: Sequence[str], what: str, *, lines: bool = False) -> str:
        """A text that is not blank; without quotes whatever stands there, ``no`` and ``1e3`` as well.

        Args:
            lines: It may have tabs and line breaks.
        """
        if node.kind not in ("plain", "text") or not node.value.strip():
            fix = f"write {what}" + (", without a list" if node.kind == "list" else "")
            raise self.fault("value", f"{join_path(*path)}: {node.shown or 'nothing'} is not {what}", fix, node.place)
        text = str(node.value)
        self._check_printable(re.sub(r"[\n\r\t]", "", text) if lines else text, join_path(*path), node.place)
        return text

    def texts(self, node: Node, path: Sequence[str], what: str, *, list_only: bool = False) -> tuple[str, ...]:
        """One text, or a list of them; not empty, each once."""
        if node.kind != "list":
            if list_only:
                fix = f"write a list: [{node.shown}]" if node.kind in ("plain", "text") else "write a list: [a, b]"
                raise self.fault("shape", f"{join_path(*path)}: {node.shown} is no list", fix, node.place)
            text = self.text(node, path, f"{what} or a list of names")
            self.lines[join_path(*path, text)] = node.place
            return (text,)
        found: list[str] = []
        for item in node.value:
            text = self.text(item, path, what)
            if text in found:
                raise self.fault("twice", f"{join_path(*path)} names {text!r} twice", "keep one of the two", item.place)
            found.append(text)
            self.lines[join_path(*path, text)] = item.place
        if not found:
            raise self.fault(
                "value", f"{join_path(*path)} is an empty list", f"write {what}, or leave the key out", node.place
            )
        return tuple(found)

    def whole(self, node: Node, path: Sequence[str], least: int, most: int, *, code: str) -> int:
        """A whole number in ``[least, most]``."""
        number = _whole(node)
        if number is None or not least <= number <= most:
            fix = f"give a whole number from {least} to {most}"
            if node.kind == "text" and node.value.strip().isdigit():
                fix += ", without quotes"
            raise self.fault(code, f"{join_path(*path)}: {node.shown} is not possible", fix, node.place)
        return number

    def truth(self, node: Node, path: Sequence[str]) -> bool:
        """True or false."""
        if node.kind == "truth":
            return bool(node.value)
        word = node.value.lower() if node.kind == "plain" else ""
        if word not in (*_TRUE, *_FALSE):
            message = f"{join_path(*path)}: {node.shown} is neither true nor false"
            raise self.fault("value", message, "write true or false, without quotes", node.place)
        return word in _TRUE

    def choice(self, node: Node, path: Sequence[str], choices: Collection[str]) -> str:
        """One of a closed set of words."""
        text = str(node.value) if node.kind in ("plain", "text") else ""
        if text not in choices:
            fix = did_you_mean(text, choices) if text else f"write one of {', '.join(choices)}"
            raise self.fault("value", f"{join_path(*path)}: {node.shown} is not possible", fix, node.place)
        return text

    def _check_printable(self, text: str, path: str, place: str) -> None:
        """Refuse what nobody can see: control characters, no-break spaces, halves of surrogate pairs."""
        for char in text:
            if not char.isprintable():
                message = f"{path or 'the definition'}: {text!a} holds the character U+{ord(char):04X}"
                raise self.fault("value", message, "take it out", place)


def _whole(node: Node) -> int | None:
    if node.kind == "number":
        return node.value if isinstance(node.value, int) else None
    text: Any = node.value if node.kind == "plain" else ""
    # A leading zero makes it octal for some readers of YAML and not for others.
    plain = text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) <= 20
    return int(text) if plain and (text.lstrip("-") == "0" or not text.lstrip("-").startswith("0")) else None
