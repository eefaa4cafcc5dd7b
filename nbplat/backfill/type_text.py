"""A cursor over the text of a type."""

from __future__ import annotations

import re

from nbplat.errors import RequestError

__all__ = ["Cursor", "quoted"]

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ID = re.compile(r"\d+\s*:(?=[^:>,]*:)")
_NAME = re.compile(r"`(?:[^`]|``)*`|[^:<>,]+")


class Cursor:
    """Reads a type's text from left to right; whitespace between tokens does not count."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0

    def word(self) -> str:
        """A letter word: the name of a type."""
        return self._match(_WORD, "a type's name")

    def name(self) -> str:
        """A field's name, in backticks where it holds a sign of the syntax."""
        found = self._match(_NAME, "a field's name").strip()
        return found[1:-1].replace("``", "`") if found.startswith("`") else found

    def field_id(self) -> None:
        """Read over ``12:`` in front of a field, as pyiceberg writes it."""
        self._space()
        if found := _ID.match(self.text, self._at):
            self._at = found.end()

    def numbers(self, opening: str, closing: str, count: int) -> tuple[int, ...]:
        """``(9, 2)`` or ``[16]``."""
        self.take(opening)
        found = [int(self._match(re.compile(r"\d{1,4}"), "a number"))]
        while len(found) < count:
            self.take(",")
            found.append(int(self._match(re.compile(r"\d{1,4}"), "a number")))
        self.take(closing)
        return tuple(found)

    def take(self, sign: str) -> None:
        """Read a sign that must stand here."""
        if not self.maybe(sign):
            raise self._fault(f"{sign!r}")

    def maybe(self, sign: str) -> bool:
        """Read a sign that may stand here."""
        self._space()
        if not self.text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def skip_word(self, *words: str) -> None:
        """Read over one of the words, when a further word follows it."""
        self._space()
        for word in words:
            if re.match(rf"{word}\s+\w", self.text[self._at :]):
                self._at += len(word)

    def skip_note(self) -> None:
        """Read over a field's documentation: text in balanced parentheses."""
        self._space()
        if not self.text.startswith("(", self._at):
            return
        depth = 0
        for place in range(self._at, len(self.text)):
            depth += {"(": 1, ")": -1}.get(self.text[place], 0)
            if not depth:
                self._at = place + 1
                return
        raise self._fault("')'")

    def end(self) -> None:
        """Nothing may follow."""
        self._space()
        if self._at != len(self.text):
            raise self._fault("the end")

    def _space(self) -> None:
        found = _SPACE.match(self.text, self._at)
        self._at = found.end() if found else self._at

    def _match(self, pattern: re.Pattern[str], wanted: str) -> str:
        self._space()
        found = pattern.match(self.text, self._at)
        if not found:
            raise self._fault(wanted)
        self._at = found.end()
        return found[0]

    def _fault(self, wanted: str) -> RequestError:
        return RequestError(
            "type.syntax",
            f"{self.text!r} is no Iceberg type: {wanted} is missing at character {self._at + 1}",
            fix="write e.g. double, decimal(9, 2), list<float> or struct<a: int, b: string>",
        )


def quoted(name: str) -> str:
    """A field's name as it stands in a type: in backticks unless it is a plain word."""
    return name if name.isidentifier() else "`" + name.replace("`", "``") + "`"
