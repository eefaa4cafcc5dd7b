"""Bytes on the disk, each file counted once however many names it has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Inodes", "inodes_in"]


@dataclass(slots=True)
class Inodes:
    """The files below some folders.

    Attributes:
        sizes: Allocated bytes of each, by device and inode.
        seen: How many of its names were met.
        links: How many names it has altogether.
        files: Names met.
        apparent_bytes: Lengths, by name: what a copy would take.
    """

    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    seen: dict[tuple[int, int], int] = field(default_factory=dict)
    links: dict[tuple[int, int], int] = field(default_factory=dict)
    files: int = 0
    apparent_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Allocated, each file once."""
        return sum(self.sizes.values())

    @property
    def own_bytes(self) -> int:
        """Allocated by files that have no other name elsewhere: what removing these folders frees."""
        return sum(size for key, size in self.sizes.items() if self.seen[key] >= self.links[key])

    def bytes_beside(self, others: Iterable[Inodes]) -> int:
        """Allocated by files that are in none of the others."""
        known: set[tuple[int, int]] = set().union(*(one.sizes for one in others))
        return sum(size for key, size in self.sizes.items() if key not in known)


def inodes_in(*paths: Path) -> Inodes:
    """Walk folders (or single files); what is not there has nothing. Links are not followed."""
    found = Inodes()
    for path in paths:
        for entry in _walk(path):
            key = (entry.st_dev, entry.st_ino)
            found.sizes[key] = entry.st_blocks * 512
            found.seen[key] = found.seen.get(key, 0) + 1
            found.links[key] = entry.st_nlink
            found.files += 1
            found.apparent_bytes += entry.st_size
    return found


def _walk(path: Path) -> Iterator[os.stat_result]:
    try:
        if path.is_symlink() or not path.is_dir():
            yield path.lstat()
            return
    except FileNotFoundError:
        return
    todo = [str(path)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            # A build or a sweep beside us: what is gone takes no space.
            continue
