"""A lock file knows whether it was changed after it was made, and where.

The seal is one hash over the whole text. The sums are short ones over its blocks (a package, a section); they only
serve to name the lines when the seal does not fit. Line ends and comments do not count: version control changes the
first, and people may want to say something.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["Block", "blocks_of", "changed_lines", "seal_of", "sums_of"]

SUMS = "  sums:"
_SUM_DIGITS = 4
_PER_LINE = 20


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together; `first` and `last` count from 1."""

    first: int
    last: int
    text: str


def blocks_of(text: str) -> list[Block]:
    """The blocks before the sums: each begins at a line that is not indented."""
    blocks: list[Block] = []
    lines: list[str] = []
    first = last = 1
    for at, line in enumerate(text.splitlines(), 1):
        if line == SUMS:
            break
        if line.startswith("#") or not line.strip():
            continue
        if line[0] != " " and lines:
            blocks.append(Block(first, last, "\n".join(lines)))
            lines = []
        if not lines:
            first = at
        lines.append(line.rstrip())
        last = at
    if lines:
        blocks.append(Block(first, last, "\n".join(lines)))
    return blocks


def sums_of(text: str) -> list[str]:
    """The sums of a text's blocks, twenty to a line."""
    sums = [_hash(block.text)[:_SUM_DIGITS] for block in blocks_of(text)]
    return [" ".join(sums[at : at + _PER_LINE]) for at in range(0, len(sums), _PER_LINE)]


def seal_of(text: str) -> str:
    """64 hex digits over all blocks."""
    return _hash("\n".join(block.text for block in blocks_of(text)))


def changed_lines(text: str, sums: list[str]) -> Block | None:
    """The first block that has not the sum it had; None when all have, or when it cannot be told."""
    had = " ".join(sums).split()
    if not all(re.fullmatch(r"[0-9a-f]{4}", each) for each in had):
        return None
    blocks = blocks_of(text)
    for at, block in enumerate(blocks):
        if at >= len(had) or _hash(block.text)[:_SUM_DIGITS] != had[at]:
            return block
    return blocks[-1] if blocks and len(blocks) < len(had) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
