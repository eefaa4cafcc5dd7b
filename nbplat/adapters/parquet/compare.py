"""Byte comparison of column chunks: what a splice has to leave as it was, and what it has to bring."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nbplat.adapters.parquet.append import chunk_span
from nbplat.adapters.parquet.compact import Malformed, Struct
from nbplat.adapters.parquet.footer import damaged, read_footer
from nbplat.adapters.parquet.merge import BaseFooter, read_base_footer
from nbplat.adapters.parquet.splice import chosen
from nbplat.backfill.ports import Addition
from nbplat.terms import Files

__all__ = ["chunk_digests", "first_difference"]

_READ_BYTES = 1 << 20
_SAMPLES, _SAMPLE_BYTES = 16, 64 << 10

_Leaves = Mapping[tuple[str, int], Sequence[Struct]]
_Run = tuple[int, int, int, str]
"""Offset in one file and in the other, length in bytes, and the column it belongs to."""


class _Opened(NamedTuple):
    where: str
    file: BinaryIO
    footer: BaseFooter
    leaves: _Leaves

    def pages(self, chunk: Struct) -> tuple[int, int]:
        """First byte and end of a chunk's pages."""
        try:
            return self.footer.pages(chunk)
        except Malformed:
            raise damaged(self.where) from None


def first_difference(
    files: Files,
    base: str,
    additions: Sequence[Addition],
    new: str,
    *,
    drop: Collection[int] = (),
    name_ids: Mapping[tuple[str, ...], int] | None = None,
) -> str | None:
    """Compare a spliced file with what it was made of, chunk by chunk.

    Kept columns must lie where they lay, with the same description (statistics, encodings, offsets) and the same
    bytes; added ones have the bytes of their aligned file; there is no other column. Where an object store copied
    the kept bytes itself, samples of them are compared, as reading all of them twice would cost more than the copy.

    Returns:
        The first column that differs; None when there is none.

    Raises:
        DataError: one of the files is damaged or encrypted.
    """
    with ExitStack() as stack:
        old, now = (_open(stack, files, path) for path in (base, new))
        try:
            dropped = {column.name for column in chosen(old.footer, base, set(drop), name_ids)[0]}
        except Malformed:
            raise damaged(base) from None
        kept = {key: chunks for key, chunks in old.leaves.items() if key[0] not in dropped}
        runs, differs = _stayed(old, now, kept)
        if differs:
            return differs
        if files.copies_unseen(new, base, max((at + length for at, _, length, _ in runs), default=0)):
            runs = _samples(runs)
        if differs := _first_unequal(old.file, now.file, runs):
            return differs
        seen = set(kept)
        for addition in additions:
            staged = _open(stack, files, addition.path)
            taken = {key: chunks for key, chunks in staged.leaves.items() if key[0] in addition.field_ids}
            runs, differs = _moved(staged, now, taken)
            if differs := differs or _first_unequal(staged.file, now.file, runs):
                return differs
            seen |= set(taken)
        return next((name for name, _ in now.leaves.keys() ^ seen), None)


def chunk_digests(path: Path) -> dict[str, str]:
    """BLAKE2b-128 (hex) of each column's chunk bytes over all row groups; keys are dotted leaf paths.

    Equal digests mean equal bytes: pages, encodings and all.
    """
    hashes: dict[str, Any] = {}
    with path.open("rb") as file:
        for group in read_footer(file, str(path)).metadata.row_groups:
            for chunk in group.columns:
                name = ".".join(chunk.meta_data.path_in_schema)
                start, length = chunk_span(chunk.meta_data)
                file.seek(start)
                hashes.setdefault(name, hashlib.blake2b(digest_size=16)).update(file.read(length))
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _open(stack: ExitStack, files: Files, path: str) -> _Opened:
    file = stack.enter_context(files.open_input(path))
    footer = read_base_footer(file, path)
    try:
        return _Opened(path, file, footer, footer.leaves())
    except Malformed:
        raise damaged(path) from None


def _stayed(old: _Opened, now: _Opened, kept: _Leaves) -> tuple[list[_Run], str | None]:
    """The bytes of chunks that must be where they were; the first column that is described otherwise."""
    runs: list[_Run] = []
    for key, chunks in kept.items():
        others = now.leaves.get(key, [])
        if [old.footer.encoded(chunk) for chunk in chunks] != [now.footer.encoded(other) for other in others]:
            return [], key[0]
        for chunk in chunks:
            start, end = old.pages(chunk)
            runs.append((start, start, end - start, key[0]))
    return runs, None


def _moved(staged: _Opened, now: _Opened, taken: _Leaves) -> tuple[list[_Run], str | None]:
    """The bytes of chunks that may lie elsewhere, and so be described otherwise; the first column of another size."""
    runs: list[_Run] = []
    for key, chunks in taken.items():
        others = now.leaves.get(key, [])
        if len(chunks) != len(others):
            return [], key[0]
        for chunk, other in zip(chunks, others, strict=True):
            (start, end), (at, until) = staged.pages(chunk), now.pages(other)
            if end - start != until - at:
                return [], key[0]
            runs.append((start, at, end - start, key[0]))
    return runs, None


def _samples(runs: Sequence[_Run]) -> list[_Run]:
    """The beginning, a place inside, and the end of some chunks; others in every process."""
    chosen = random.sample(list(runs), min(_SAMPLES, len(runs)))
    samples = []
    for start, at, length, name in chosen:
        size = min(_SAMPLE_BYTES, length)
        offset = random.choice((0, random.randint(0, length - size), length - size))  # noqa: S311 - no secret
        samples.append((start + offset, at + offset, size, name))
    return samples


def _first_unequal(left: BinaryIO, right: BinaryIO, runs: Sequence[_Run]) -> str | None:
    """The column of the first run whose bytes differ."""
    buffers = bytearray(_READ_BYTES), bytearray(_READ_BYTES)
    ordered = sorted(runs)
    for first, last, (start, at, length) in _joined(ordered):
        if not _equal(left, start, right, at, length, buffers):
            several = ordered[first:last]
            return next(
                (name for one, other, size, name in several if not _equal(left, one, right, other, size, buffers)),
                several[0][3],
            )
    return None


def _joined(runs: Sequence[_Run]) -> Iterator[tuple[int, int, tuple[int, int, int]]]:
    """Runs that lie one after the other in both files, as one: number of its first run, of the one after its last."""
    first = 0
    while first < len(runs):
        start, at, length, _ = runs[first]
        last = first + 1
        while last < len(runs) and runs[last][:2] == (start + length, at + length):
            length += runs[last][2]
            last += 1
        yield first, last, (start, at, length)
        first = last


def _equal(
    left: BinaryIO, start: int, right: BinaryIO, at: int, length: int, buffers: tuple[bytearray, bytearray]
) -> bool:
    """True when the bytes are equal.

    Args:
        buffers: Of one size, to read into: memory that is asked for with each read costs more than reading.
    """
    left.seek(start)
    right.seek(at)
    mine, theirs = buffers
    while length >= len(mine):
        if _filled(left, mine) < len(mine) or _filled(right, theirs) < len(theirs) or mine != theirs:
            return False
        length -= len(mine)
    rest = left.read(length)
    return len(rest) == length and rest == right.read(length)


def _filled(file: BinaryIO, buffer: bytearray) -> int:
    return int(file.readinto(buffer))  # type: ignore[attr-defined] # what `Files` opens is buffered
