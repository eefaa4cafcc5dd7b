"""Values put beside the rows that they belong to, in memory of Arrow's pool."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Places", "empty", "moved", "release", "whole"]


class Places:
    """Where each base row finds its staged row.

    Args:
        at: ``int64[base rows]``: a staged row, or -1 for none.

    Attributes:
        missing: ``bool[base rows]``, True where there is none; None where every row has one.
    """

    def __init__(self, at: Any) -> None:
        self.at = at
        missing = at < 0
        self.missing = missing if missing.any() else None

    def take(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """A staged column in the order of the base rows; null where there is no staged row."""
        kind = values.type
        if not len(values):
            return pa.chunked_array([pa.nulls(len(self.at), kind)])
        column = whole(values)
        if column.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return pa.chunked_array([column.take(self._indices)], kind)
        # Numbers without nulls move as plain memory; -1 moves the last one, which the bitmap hides.
        buffers = [self._bitmap, moved(column.to_numpy(), self.at)]
        return pa.chunked_array([pa.Array.from_buffers(kind, len(self.at), buffers)], kind)

    @cached_property
    def _indices(self) -> pa.Array:
        return pa.array(self.at, mask=self.missing)

    @cached_property
    def _bitmap(self) -> pa.Buffer | None:
        return None if self.missing is None else pa.py_buffer(np.packbits(~self.missing, bitorder="little"))


def moved(values: Any, places: Any) -> pa.Buffer:
    """The values at these places, one after another; -1 is the last.

    Args:
        values: One dimension, of any type of a fixed width, with at least one value.
        places: ``int64[rows]``, none beyond the values.
    """
    buffer, out = empty(len(places), values.dtype)
    values.take(places, mode="wrap", out=out)
    return buffer


def empty(rows: int, kind: Any) -> tuple[pa.Buffer, Any]:
    """Memory for so many values, with numpy's view of it.

    It comes from Arrow's pool, which keeps pages that were used: fresh ones from the system for each column of each
    unit would cost more than moving the values.
    """
    buffer = pa.allocate_buffer(rows * np.dtype(kind).itemsize)
    return buffer, np.frombuffer(buffer, kind)


def release() -> None:
    """Give the system the pages that the calling thread's values have left; takes about a millisecond.

    Arrow's allocator keeps them for each thread apart, until a process holds twice what its values take.
    """
    pa.default_memory_pool().release_unused()


def whole(values: pa.ChunkedArray) -> pa.Array:
    """The values in one array; those of a single chunk are not copied."""
    if values.num_chunks == 1:
        return values.chunk(0)
    found = values.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)
