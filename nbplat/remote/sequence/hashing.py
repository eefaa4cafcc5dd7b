"""Hashes of logical values: the same before and after a trip through Parquet, on every engine and machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .plain import plain

__all__ = ["bucket_of", "row_hash"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_SEED = np.uint64(0x243F6A8885A308D3)
_NULL = np.uint64(0x452821E638D01377)
# Rows that are hashed together: what is made on the way stays in the cache.
_ROWS = 1 << 15
# Words that are taken from all texts alike; what is beyond of the few long ones is taken flat.
_COLUMNAR_WORDS = 64


def bucket_of(entity: pa.Table, buckets: int) -> Any:
    """Bucket of each entity: a function of the values of its columns, in their order, and of nothing else.

    Args:
        entity: The entity columns, a row an entity; the columns' names do not count. Integers of any width, texts and
            bytes in any layout, and times in any unit give the same bucket for the same value.
        buckets: How many there are, from 1.

    Returns:
        ``int32[rows]`` in ``[0, buckets)``; -1 where a column is null.
    """
    found = np.empty(entity.num_rows, dtype=np.int32)
    for at in range(0, entity.num_rows, _ROWS):
        block = entity.slice(at, _ROWS)
        hashes = _of_rows([plain(column) for column in block.columns], block.num_rows)
        # Of the upper half of the bits as many as it takes: as even as a remainder, without dividing.
        found[at : at + _ROWS] = ((hashes >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32)
    for column in entity.columns:
        if column.null_count:
            found[column.is_null().to_numpy()] = -1
    return found


def row_hash(table: pa.Table) -> Any:
    """64 bits of each row's logical values, the columns in their order; ``uint64[rows]``.

    Integers count as int64, floats as float64 with one zero and one NaN, times as microseconds, decimals by value,
    dictionaries decoded; null is a value of its own. Names of columns do not count.
    """
    found = np.empty(table.num_rows, dtype=np.uint64)
    for at in range(0, table.num_rows, _ROWS):
        block = table.slice(at, _ROWS)
        found[at : at + _ROWS] = _of_rows([plain(column) for column in block.columns], block.num_rows)
    return found


def _of_rows(columns: list[pa.Array], rows: int) -> Any:
    state = np.full(rows, _SEED, dtype=np.uint64)
    for column in columns:
        hashes = _hashes(column)
        state ^= hashes
        state *= _FOLD
        state ^= state >> np.uint64(32)
    return state


def _mixed(values: Any) -> Any:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014), in place."""
    values += _GOLDEN
    values ^= values >> np.uint64(30)
    values *= _FIRST
    values ^= values >> np.uint64(27)
    values *= _SECOND
    values ^= values >> np.uint64(31)
    return values


def _hashes(array: pa.Array) -> Any:
    """Hash of each value of a plain array; a null's is always the same."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), _NULL, dtype=np.uint64)
    if pa.types.is_large_binary(kind):
        found = _of_bytes(array)
    elif pa.types.is_large_list(kind):
        found = _of_lists(array)
    elif pa.types.is_struct(kind):
        found = _of_rows([plain(child) for child in array.flatten()], len(array))
    elif pa.types.is_decimal(kind):
        found = _of_decimals(array)
    else:
        found = _mixed(_words(array))
    if array.null_count:
        found[array.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


def _words(array: pa.Array) -> Any:
    """Bit pattern of fixed values, a fresh ``uint64[n]``; anything where they are null."""
    if pa.types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros(len(array), dtype=np.uint64)
    return np.frombuffer(data, dtype=np.uint64)[array.offset : array.offset + len(array)].copy()


def _of_bytes(array: pa.Array) -> Any:
    _, at_buffer, data = array.buffers()
    offsets = np.frombuffer(at_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    start, length = offsets[:-1], np.diff(offsets)
    if array.null_count:
        length = np.where(array.is_null().to_numpy(zero_copy_only=False), 0, length)
    first = int(offsets[0]) if len(array) else 0
    size = int(offsets[-1]) - first if len(array) else 0
    # Room behind, so that the last word can be read whole.
    padded = np.zeros(size + 8, dtype=np.uint8)
    if size:
        padded[:size] = np.frombuffer(data, dtype=np.uint8)[first : first + size]
    loads = np.ndarray(shape=(size + 1,), dtype="<u8", buffer=padded.data, strides=(1,))
    start = start - first
    total = length.astype(np.uint64) * _SECOND
    words = (length + 7) >> 3
    rows = np.flatnonzero(words > 0)
    for place in range(_COLUMNAR_WORDS):
        if not len(rows):
            break
        total[rows] += _word_hash(loads, start[rows] + 8 * place, length[rows] - 8 * place, place)
        rows = rows[words[rows] > place + 1]
    if len(rows):
        more = words[rows] - _COLUMNAR_WORDS
        which, place = _places(more)
        place = place + _COLUMNAR_WORDS
        at = rows[which]
        hashes = _word_hash(loads, start[at] + 8 * place, length[at] - 8 * place, place)
        total[rows] += np.add.reduceat(hashes, np.cumsum(more) - more)
    return _mixed(total)


def _word_hash(loads: Any, at: Any, left: Any, place: Any) -> Any:
    """Hash of the word at each place, with its number in the text; bytes behind the text's end count as zero."""
    word = loads[at].astype(np.uint64)
    short = left < 8
    if short.any():
        word[short] &= (np.uint64(1) << (left[short].astype(np.uint64) << np.uint64(3))) - np.uint64(1)
    with np.errstate(over="ignore"):
        word += np.asarray(place, dtype=np.uint64) * _FOLD
    return _mixed(word)


def _places(counts: Any) -> Any:
    """For counts ``[2, 3]`` the list ``[0 0 1 1 1]`` and the place in it ``[0 1 0 1 2]``."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def _of_lists(array: pa.Array) -> Any:
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    children = _hashes(plain(array.flatten()))
    _, place = _places(counts)
    children += place.astype(np.uint64) * _FOLD
    total = counts.astype(np.uint64) * _SECOND
    filled = np.flatnonzero(counts > 0)
    if len(filled):
        total[filled] += np.add.reduceat(_mixed(children), (np.cumsum(counts) - counts)[filled])
    return _mixed(total)


def _of_decimals(array: pa.Array) -> Any:
    """By value: 1.5 and 1.50 are one. The digits as 32-bit limbs of the magnitude, trailing zeros taken off."""
    width = array.type.bit_width
    if width < 128:
        array, width = array.cast(pa.decimal128(array.type.precision, array.type.scale)), 128
    limbs = np.frombuffer(array.buffers()[1], dtype="<u4").reshape(-1, width // 32)
    limbs = limbs[array.offset : array.offset + len(array)].astype(np.uint64).T.copy()
    if array.null_count:
        limbs[:, array.is_null().to_numpy(zero_copy_only=False)] = 0
    negative = limbs[-1] >> np.uint64(31) != 0
    _negate(limbs, negative)
    scale = np.full(len(array), array.type.scale, dtype=np.int64)
    rows = np.flatnonzero(limbs.any(axis=0))
    scale[~limbs.any(axis=0)] = 0
    while len(rows):
        quotient, rest = _by_ten(limbs[:, rows])
        rows, quotient = rows[rest == 0], quotient[:, rest == 0]
        limbs[:, rows] = quotient
        scale[rows] -= 1
    found = scale.astype(np.uint64) * np.uint64(2) + negative
    for at, limb in enumerate(limbs):
        # Limbs that are zero add nothing, so that the width of the type does not show.
        place = np.full(len(limb), at + 1, dtype=np.uint64) * _FOLD
        found += np.where(limb != 0, _mixed(limb + place), np.uint64(0))
    return _mixed(found)


def _negate(limbs: Any, rows: Any) -> None:
    carry = rows.astype(np.uint64)
    low = np.uint64(0xFFFFFFFF)
    for limb in limbs:
        turned = np.where(rows, (limb ^ low) + carry, limb)
        carry = np.where(rows, turned >> np.uint64(32), 0).astype(np.uint64)
        limb[:] = turned & low


def _by_ten(limbs: Any) -> Any:
    """Quotient and rest of dividing by ten."""
    quotient, rest = np.empty_like(limbs), np.zeros(limbs.shape[1], dtype=np.uint64)
    for at in range(len(limbs) - 1, -1, -1):
        have = (rest << np.uint64(32)) | limbs[at]
        quotient[at], rest = have // np.uint64(10), have % np.uint64(10)
    return quotient, rest
