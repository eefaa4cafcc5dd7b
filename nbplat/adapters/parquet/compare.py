"""Byte comparison of column chunks: what a splice has to leave as it was, and what it has to bring."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from nbplat.adapters.parquet.append import chunk_span
from nbplat.adapters.parquet.compact import Malformed
from nbplat.adapters.parquet.footer import damaged, read_footer
from nbplat.adapters.parquet.merge import BaseFooter, read_base_footer
from nbplat.adapters.parquet.splice import chosen
from nbplat.backfill.ports import Addition
from nbplat.terms import Files

__all__ = ["chunk_digests", "first_difference"]

_READ_BYTES = 1 << 20
_SAMPLES, _SAMPLE_BYTES = 16, 64 << 10

_Leaves = dict[tuple[str, int], list[tuple[int, int, bytes]]]


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
        base_file, new_file = (stack.enter_context(files.open_input(path)) for path in (base, new))
        old, now = read_base_footer(base_file, base), _leaves(read_base_footer(new_file, new), new)
        try:
            dropped = {column.name for column in chosen(old, base, set(drop), name_ids)[0]}
        except Malformed:
            raise damaged(base) from None
        kept = {key: spans for key, spans in _leaves(old, base).items() if key[0] not in dropped}
        length = max((end for spans in kept.values() for _, end, _ in spans), default=0)
        sampled = files.copies_unseen(new, base, length)
        if differs := _first_of(kept, now, base_file, new_file, moved=False, sampled=sampled):
            return differs
        seen = set(kept)
        for addition in additions:
            file = stack.enter_context(files.open_input(addition.path))
            staged = _leaves(read_base_footer(file, addition.path), addition.path)
            taken = {key: spans for key, spans in staged.items() if key[0] in addition.field_ids}
            if differs := _first_of(taken, now, file, new_file, moved=True):
                return differs
            seen |= set(taken)
        return next((name for name, _ in now.keys() ^ seen), None)


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


def _leaves(footer: BaseFooter, where: str) -> _Leaves:
    try:
        return footer.leaves()
    except Malformed:
        raise damaged(where) from None


def _first_of(
    left: _Leaves, right: _Leaves, left_file: BinaryIO, right_file: BinaryIO, *, moved: bool, sampled: bool = False
) -> str | None:
    """First column of `left` that `right` has not, or otherwise.

    Args:
        moved: Chunks may lie elsewhere, and so be described otherwise.
        sampled: Compare the bytes of some chunks only.
    """
    runs: list[tuple[int, int, int, str]] = []
    for key, spans in left.items():
        others = right.get(key, [])
        if len(spans) != len(others):
            return key[0]
        for (start, end, chunk), (at, until, other) in zip(spans, others, strict=True):
            if end - start != until - at or (not moved and (start, chunk) != (at, other)):
                return key[0]
            runs.append((start, at, end - start, key[0]))
    if sampled:
        runs = _samples(runs)
    return next(
        (name for start, at, length, name in sorted(runs) if not _equal(left_file, start, right_file, at, length)), None
    )


def _samples(runs: Sequence[tuple[int, int, int, str]]) -> list[tuple[int, int, int, str]]:
    """The beginning, a place inside, and the end of some chunks; others in every process."""
    chosen = random.sample(list(runs), min(_SAMPLES, len(runs)))
    samples = []
    for start, at, length, name in chosen:
        size = min(_SAMPLE_BYTES, length)
        offset = random.choice((0, random.randint(0, length - size), length - size))  # noqa: S311 - no secret
        samples.append((start + offset, at + offset, size, name))
    return samples


def _equal(left: BinaryIO, start: int, right: BinaryIO, at: int, length: int) -> bool:
    left.seek(start)
    right.seek(at)
    while length:
        size = min(_READ_BYTES, length)
        mine = left.read(size)
        if len(mine) < size or mine != right.read(size):
            return False
        length -= size
    return True
