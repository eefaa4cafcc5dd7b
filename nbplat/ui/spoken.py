"""Commands that our messages name, in the words of the surface that they are read on.

Fixes and notes are written once, as a notebook says them (``%session start``): they are made in other processes, and
records, ``--json`` and HTTP carry them so. A shell is told ``nbplat session start``, where the text is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nbplat.ui.nouns import NOUNS, PLATFORM
from nbplat.ui.options import Surface

__all__ = ["in_shell", "speaking", "spoken"]

_SURFACE: ContextVar[Surface] = ContextVar("surface", default="magic")

_NAMES = {noun.name: noun for noun in NOUNS}
# `%backfill show`, `%nbplat job show`, and `%%backfill`, which may be told as "a %%backfill cell".
_MAGIC = re.compile(
    rf"(?:\ban? (?=%%\w+ cell\b))?(?<![\w%])(?P<marks>%%?)(?P<noun>{'|'.join(_NAMES)})\b"
    r"(?:(?P<cell> cell\b)|(?P<space> )(?P<word>[a-z][a-z-]*))?"
)
_CELL = re.compile(r"\bthe (same )?cell (again|with)\b")


@contextmanager
def speaking(surface: Surface) -> Iterator[None]:
    """Whose words are said in the block."""
    token = _SURFACE.set(surface)
    try:
        yield
    finally:
        _SURFACE.reset(token)


def spoken(text: str) -> str:
    """A text of ours as the surface says it; never for what is a user's: code, rows, logs."""
    return in_shell(text) if _SURFACE.get() == "cli" else text


def in_shell(text: str) -> str:
    """The same with ``nbplat backfill show`` for ``%backfill show``; what a shell does not have stays a magic."""
    return _CELL.sub(r"the \1command \2", _MAGIC.sub(_command, text))


def _command(found: re.Match[str]) -> str:
    noun, word = _NAMES[found["noun"]], found["word"]
    if noun is PLATFORM:
        # `%nbplat` takes what `nbplat` takes, but for a few verbs of its own.
        verb = PLATFORM.verb(word or "")
        return found[0] if verb and "cli" not in verb.surfaces else found[0].removeprefix("%")
    verb, rest = noun.verb(word or ""), ""
    if verb is None and found["marks"] == "%%":
        verb, rest = noun.verb(noun.cell_verb or ""), f"{found['space'] or ''}{word or ''}"
    if verb is None or "cli" not in verb.surfaces:
        return found[0]
    return f"nbplat {noun.command} {verb.name}{rest}"
