"""Values put beside the rows that they belong to."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.buffer_pool import BufferPool

__all__ = ["POOL", "Places", "release", "taken", "whole"]

# Of all joins of a process; what they leave in it is dropped when a pass ends.
POOL = BufferPool()


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
        buffers = [self._bitmap, pa.py_buffer(taken(column.to_numpy(), self.at))]
        return pa.chunked_array([pa.Array.from_buffers(kind, len(self.at), buffers)], kind)

    @cached_property
    def _indices(self) -> pa.Array:
        return pa.array(self.at, mask=self.missing)

    @cached_property
    def _bitmap(self) -> pa.Buffer | None:
        return None if self.missing is None else pa.py_buffer(np.packbits(~self.missing, bitorder="little"))


def taken(values: Any, places: Any) -> Any:
    """The values at these places, one after another, in memory of the pool; -1 is the last.

    Args:
        values: One dimension, of any type of a fixed width, with at least one value.
        places: ``int64[rows]``, none beyond the values.
    """
    out = POOL.empty(len(places), values.dtype)
    # The other modes are slower: one checks first, one writes into memory of its own.
    return values.take(places, mode="wrap", out=out)


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
