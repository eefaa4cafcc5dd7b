"""Where a package's bytes hold the placeholder of the prefix, and how they were before an installer wrote over it."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["original", "slots"]


def slots(data: bytes, placeholder: bytes, *, binary: bool) -> list[list[Any]]:
    """The stretches that a relocation writes as a whole: ``[start, end, places]``; see `nbplat.remote.relocate`.

    In a text that is all of it; in a compiled file each C string, without its NUL.
    """
    places = [found.start() for found in re.finditer(re.escape(placeholder), data)]
    if not places:
        return []
    if not binary:
        return [[0, len(data), places]]
    found: list[list[Any]] = []
    for place in places:
        if found and place < found[-1][1]:
            found[-1][2].append(place)
            continue
        end = data.find(b"\0", place)
        found.append([place, len(data) if end < 0 else end, [place]])
    return found


def original(data: bytes, prefix: bytes, placeholder: bytes, *, binary: bool) -> bytes:
    """A file of a prefix as its package has it, as far as that can be told; hold it against the package's hash."""
    if not binary:
        return data.replace(prefix, placeholder)
    longer = len(placeholder) - len(prefix)
    if longer < 0:
        return data
    out, done = [], 0
    for start, end, places in slots(data, prefix, binary=True):
        out += [data[done:start], data[start:end].replace(prefix, placeholder)]
        # What the shorter path left free behind the string.
        done = end + longer * len(places)
    return b"".join([*out, data[done:]])
