"""The defaults that were applied, so that all of them can be read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

__all__ = ["default_lines"]

_WIDTH = 108


def default_lines(defaults: Iterable[str], width: int = _WIDTH) -> list[str]:
    """``path: value`` texts as lines of at most `width` signs where that is possible, a group of keys a line.

    Keys without a dot are one group, ``size.length`` and ``size.order`` another.
    """
    groups: dict[str, list[str]] = {}
    for text in defaults:
        path = text.partition(": ")[0]
        groups.setdefault(path.partition(".")[0] if "." in path else "", []).append(text)
    # A default is not cut in two, however long the line is: its blanks do not count as such while it is wrapped.
    return [
        line.replace("\0", " ")
        for texts in groups.values()
        for line in textwrap.wrap(
            "\0· ".join(text.replace(" ", "\0") for text in texts),
            width,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
