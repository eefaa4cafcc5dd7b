"""Paths to a key: ``events.click.last``; a name with a dot in it stands in quotes: ``events."page.view".last``."""

from __future__ import annotations

import re

__all__ = ["join_path", "split_path"]

_PLAIN = re.compile(r'[^."\s]+\Z')
_SEGMENT = re.compile(r'([^."\s]+)|"((?:[^"]|"")+)"')


def join_path(*names: str) -> str:
    """One text of names from the top; `split_path` reads it."""
    return ".".join(name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"' for name in names)


def split_path(text: str) -> tuple[str, ...]:
    """Names from the top.

    Raises:
        ValueError: an empty name, or a quote that does not end.
    """
    names = []
    at = 0
    while True:
        found = _SEGMENT.match(text, at)
        if not found:
            raise ValueError(f"{text!r} is no path")
        names.append(found[1] if found[1] is not None else found[2].replace('""', '"'))
        at = found.end()
        if at == len(text):
            return tuple(names)
        if text[at] != ".":
            raise ValueError(f"{text!r} is no path")
        at += 1
