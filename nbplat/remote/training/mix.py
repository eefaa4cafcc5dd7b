"""Rows of several tables put together in a given order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from .places import moved, release

__all__ = ["mixed"]


def mixed(tables: list[pa.Table], places: Any) -> pa.Table:
    """The rows at these places, in their order; every column in one chunk.

    It goes column by column: a column of a window fits the processor's cache where a row of all columns, taken batch by
    batch, does not. The tables are let go column by column as well, so that the rows are in memory once, and one column
    twice.

    Args:
        tables: Of one schema, counted through from the first; the list is emptied. Whoever holds the tables elsewhere
            holds their memory.
        places: ``int64[rows]``.
    """
    schema = tables[0].schema
    held = [table.columns for table in tables]
    tables.clear()
    taken = pa.array(places)
    columns = []
    for at, field in enumerate(schema):
        chunks = [chunk for columns_ in held for chunk in columns_[at].chunks]
        for columns_ in held:
            columns_[at] = None
        columns.append(_taken(chunks, field.type, places, taken))
        del chunks
        release()
    return pa.table(columns, schema=schema)


def _taken(chunks: list[pa.Array], kind: pa.DataType, places: Any, taken: pa.Array) -> pa.Array:
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], kind)
    chunks.clear()
    if whole.null_count or not len(whole):
        return whole.take(taken)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pa.Array.from_buffers(kind, len(places), [None, moved(whole.to_numpy(), places)])
    matrix = _matrix(whole)
    if matrix is None:
        return whole.take(taken)
    # A list moves as one value of its width: as a row of numbers it would take several times as long.
    wide = np.dtype((np.void, matrix.itemsize * matrix.shape[1]))
    return _lists(moved(np.ascontiguousarray(matrix).view(wide)[:, 0], places), matrix.shape[1], kind)


def _matrix(column: pa.Array) -> Any:
    """Lists of one length as ``[rows, length]``, which are copied row by row; None for anything else."""
    kind = column.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind)):
        return None
    values = column.flatten()
    if values.null_count or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    if fixed:
        width = kind.list_size
    else:
        lengths = np.diff(column.offsets.to_numpy())
        width = int(lengths[0])
        if not (lengths == width).all():
            return None
    return values.to_numpy().reshape(-1, width) if width else None


def _lists(rows: pa.Buffer, width: int, kind: pa.DataType) -> pa.Array:
    count = rows.size * 8 // kind.value_type.bit_width
    values = pa.Array.from_buffers(kind.value_type, count, [None, rows])
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    offsets = np.arange(0, count + 1, width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind)
