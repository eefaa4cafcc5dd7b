"""Rows by their key: 64-bit hashes, vectorised, one per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Hashes", "hash_rows", "positions"]

Hashes = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0x100000001B3)


def hash_rows(keys: pa.Table) -> Hashes:
    """``uint64[rows]``: equal rows hash alike; unequal ones but for chance. Keys hold no null."""
    mixed = np.zeros(keys.num_rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in keys.column_names:
            mixed = _mix(mixed * _STEP + _hash_column(_whole(keys[name])))
    return mixed


def positions(wanted: pa.Table, among: pa.Table) -> npt.NDArray[np.int64]:
    """For each row of `wanted` the row of `among` with the same key, or -1."""
    among = pa.table({name: among[name].cast(wanted[name].type) for name in wanted.column_names})
    if not among.num_rows:
        return np.full(wanted.num_rows, -1, dtype=np.int64)
    here, there = hash_rows(wanted), hash_rows(among)
    order = np.argsort(there, kind="stable")
    at = np.minimum(np.searchsorted(there, here, sorter=order), len(order) - 1)
    hit = order[at]
    return np.where(there[hit] == here, hit, -1).astype(np.int64)


def _hash_column(values: pa.Array) -> Hashes:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _hash_column(values.dictionary_decode())
    if pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        values = values.cast(pa.string() if pa.types.is_decimal(kind) else pa.binary())
        kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return _hash_bytes(values.cast(pa.large_binary()))
    if pa.types.is_floating(kind):
        # -0.0 and 0.0 are one key.
        return _mix((values.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0).view(np.uint64))
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        values = values.cast(pa.int32())
    return _mix(values.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64))


def _hash_bytes(values: pa.Array) -> Hashes:
    """A polynomial over the bytes, with the length mixed in; all rows at once."""
    lengths = pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    total = int(lengths.sum())
    if not total:
        return _mix(lengths.view(np.uint64))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    first = int(np.frombuffer(values.buffers()[1], np.int64)[values.offset])
    data = np.frombuffer(values.buffers()[2], np.uint8)[first : first + total].astype(np.uint64)
    powers = np.cumprod(np.full(int(lengths.max()), _ODD, dtype=np.uint64), dtype=np.uint64)
    terms = (data + np.uint64(1)) * powers[np.arange(total) - np.repeat(starts, lengths)]
    sums = np.zeros(len(lengths), dtype=np.uint64)
    filled = lengths > 0
    sums[filled] = np.add.reduceat(terms, starts[filled])
    return _mix(sums + lengths.view(np.uint64) * _STEP)


def _mix(values: Any) -> Hashes:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    with np.errstate(over="ignore"):
        values = values + _ODD
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
