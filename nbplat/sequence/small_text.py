"""The words of the small texts inside a definition: ``vocab(item_id, min_count=5)``, ``items.category @ latest``.

Names are letters, digits and underscores; any other name stands in backticks, a backtick in it twice, as in Spark SQL.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

__all__ = ["SmallTextError", "Word", "quote", "read_call", "words"]

_WORD = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]))"
    r"|(?P<name>[^\W\d]\w*)"
    r"|`(?P<quoted>(?:[^`]|``)+)`"
    r"|(?P<mark>[()\[\],=.@])"
)
_PLAIN = re.compile(r"[^\W\d]\w*\Z")


class SmallTextError(ValueError):
    """Such a text does not read; `offset` is the character at which, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Word(NamedTuple):
    """One word.

    Attributes:
        kind: ``name``, ``quoted``, ``number``, ``mark`` or ``end``.
        value: str; int or float of a number.
        offset: First character, from 0.
    """

    kind: str
    value: Any
    offset: int

    @property
    def shown(self) -> str:
        """As a message shows it."""
        return "the end" if self.kind == "end" else f"{self.value!r}"


def words(text: str) -> list[Word]:
    """All words, with one of kind ``end`` behind them. Raises SmallTextError at a character that begins no word."""
    found = []
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if not match:
            raise SmallTextError(f"{text[at]!r} does not belong there", at)
        kind = str(match.lastgroup)
        value: Any = match[kind]
        if kind == "quoted":
            value = value.replace("``", "`")
        elif kind == "number":
            value = int(value) if re.fullmatch(r"[-+]?[0-9]{1,400}", value) else float(value)
        if kind != "space":
            found.append(Word(kind, value, at))
        at = match.end()
    return [*found, Word("end", "", len(text))]


def quote(name: str) -> str:
    """A name as these texts write it."""
    return name if _PLAIN.match(name) else "`" + name.replace("`", "``") + "`"


class Call(NamedTuple):
    """``function(value, name=value)``; the parentheses may be left out.

    Attributes:
        function: Its name.
        values: Values without a name.
        named: Name -> value. A value's `value` is a str, an int, a float, or a list of these.
    """

    function: str
    values: list[Word]
    named: dict[str, Word]


def read_call(text: str) -> Call:
    """Read one call. Raises SmallTextError."""
    left = words(text)
    function = left.pop(0)
    if function.kind != "name":
        raise SmallTextError(f"{function.shown} is no function", function.offset)
    values: list[Word] = []
    named: dict[str, Word] = {}
    if left[0].value == "(" and left[0].kind == "mark":
        left.pop(0)
        while not _taken(left, ")"):
            if left[0].kind == "name" and left[1].value == "=" and left[1].kind == "mark":
                name = left.pop(0)
                left.pop(0)
                if name.value in named:
                    raise SmallTextError(f"{name.value} is written twice", name.offset)
                named[name.value] = _value(left)
            elif named:
                raise SmallTextError(f"{left[0].shown} has no name, but stands behind one that has", left[0].offset)
            else:
                values.append(_value(left))
            if not _taken(left, ",") and not (left[0].kind == "mark" and left[0].value == ")"):
                raise SmallTextError(f"{left[0].shown} stands where a comma or ) is needed", left[0].offset)
    if left[0].kind != "end":
        raise SmallTextError(f"{left[0].shown} is too much", left[0].offset)
    return Call(function.value, values, named)


def _taken(left: list[Word], mark: str) -> bool:
    """Take the next word away when it is this mark."""
    if left[0].kind == "mark" and left[0].value == mark:
        left.pop(0)
        return True
    return False


def _value(left: list[Word]) -> Word:
    word = left.pop(0)
    if word.kind == "mark" and word.value == "[":
        items = []
        while not _taken(left, "]"):
            item = left.pop(0)
            if item.kind in ("mark", "end"):
                raise SmallTextError(f"{item.shown} stands where a value is needed", item.offset)
            items.append(item.value)
            if not _taken(left, ",") and not (left[0].kind == "mark" and left[0].value == "]"):
                raise SmallTextError(f"{left[0].shown} stands where a comma or ] is needed", left[0].offset)
        return Word("list", items, word.offset)
    if word.kind in ("mark", "end"):
        raise SmallTextError(f"{word.shown} stands where a value is needed", word.offset)
    return word
