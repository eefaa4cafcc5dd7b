"""How a path names a session or a batch: by its number, or by its name."""

from __future__ import annotations

__all__ = ["holds", "number_of"]

_DIGITS = 18


def number_of(key: str) -> int | None:
    """The number that a key is; None for a name. One that no store can hold is 0, which nobody has."""
    if not (key.isascii() and key.isdecimal()):
        return None
    return int(key) if len(key) <= _DIGITS else 0


def holds(text: str) -> bool:
    """Whether every store can hold a text: no NUL, no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
