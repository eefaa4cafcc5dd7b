"""Bring values to the rows of a file by key, where others have moved those rows since."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["key_positions", "take_rows", "unequal_rows"]

_AT, _ROW = "nb_at", "nb_row"


def key_positions(wanted: pa.Table, have: pa.Table, keys: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each row of `wanted` the row of `have` with its key.

    Args:
        wanted, have: Hold the key columns; keys of `have` are unique.

    Returns:
        ``int64[wanted rows]``; -1 where there is none, or where a key is null.
    """
    names = list(keys)
    left = wanted.select(names)
    right = have.select(names).cast(left.schema)
    rows = pa.array(np.arange(have.num_rows), pa.int64())
    at = pa.array(np.arange(wanted.num_rows), pa.int64())
    joined = left.append_column(_AT, at).join(right.append_column(_ROW, rows), names, join_type="left outer")
    found = np.full(wanted.num_rows, -1, dtype=np.int64)
    found[joined[_AT].to_numpy()] = pc.fill_null(joined[_ROW], -1).to_numpy()
    return found


def take_rows(
    columns: pa.Table, at: npt.NDArray[np.int64], old: Sequence[pa.ChunkedArray | None] | None = None
) -> pa.Table:
    """Rows `at` of `columns`; where `at` is negative null, or the value of `old` for that column."""
    index = pa.array(np.maximum(at, 0), mask=at < 0)
    taken = columns.take(index)
    for number, values in enumerate(old or ()):
        if values is not None:
            kept = pc.if_else(pa.array(at >= 0), taken.column(number), values.cast(taken.column(number).type))
            taken = taken.set_column(number, taken.schema.field(number), kept)
    return taken


def unequal_rows(before: pa.ChunkedArray, after: pa.ChunkedArray) -> int:
    """In how many rows two columns differ; nulls are equal, and so are NaN."""
    first, second = before.combine_chunks(), after.cast(before.type).combine_chunks()
    if pa.types.is_nested(first.type):
        return sum(a != b for a, b in zip(first, second, strict=True))
    same = pc.fill_null(pc.equal(first, second), False)
    same = pc.or_(same, pc.and_(pc.is_null(first), pc.is_null(second)))
    if pa.types.is_floating(first.type):
        nan = pc.and_(pc.is_nan(first), pc.is_nan(second))
        same = pc.or_(same, pc.fill_null(nan, False))
    return len(first) - int(pc.sum(same).as_py() or 0)
