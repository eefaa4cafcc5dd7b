"""What the machine, or the control group of this process, has of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["CGROUP", "OWN", "GroupMemory", "group_memory", "machine_bytes"]

CGROUP, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# A limit above this is "no limit" in version 1.
_NO_LIMIT_BYTES = 1 << 60


class GroupMemory(NamedTuple):
    """Memory of a control group (a container, a systemd slice), in bytes."""

    limit: int
    used: int


def machine_bytes(cgroup: Path = CGROUP, own: Path = OWN) -> int:
    """What this process may ever have: the machine's memory, or the limit of its control group when that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(group.limit for group in group_memory(cgroup, own))])


def group_memory(cgroup: Path = CGROUP, own: Path = OWN) -> Iterator[GroupMemory]:
    """The groups that limit this process, its own first; none where there are no groups.

    Args:
        cgroup: Where control groups are mounted.
        own: Tells the group of this process.
    """
    for folder in _groups(cgroup, own):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is not None and limit < _NO_LIMIT_BYTES:
            yield GroupMemory(
                limit, _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
            )


def _groups(cgroup: Path, own: Path) -> Iterator[Path]:
    """Folders of this process's group and those above it, for memory."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroup / "memory" if controllers else cgroup
        inside = root / path.lstrip("/")
        yield from (each for each in (inside, *inside.parents) if each == root or root in each.parents)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
