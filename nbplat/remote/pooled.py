"""Reads whole columns of a Parquet file into pooled memory, a piece of the rows at a time.

A reader that is asked for a whole column holds its pages, packed and unpacked, beside the values. In pieces it holds a
page, and the values go where they stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .buffer_pool import BufferPool
from .even_lists import even_lists, matrix_of
from .plain import as_array, bytes_of, is_plain

__all__ = ["read_pooled"]

# Small enough that pages and values of a piece take little memory; large enough that a usual column comes in few of
# them: after each, a thread must wait for the interpreter again.
_PIECE_BYTES = 1 << 19
_FEWEST = 1024


def read_pooled(
    reader: pq.ParquetFile,
    columns: Sequence[str],
    pool: BufferPool,
    row_groups: Sequence[int] | None = None,
    *,
    together: bool = False,
) -> pa.Table:
    """These columns, whole.

    Args:
        columns: Names at the top level, at least one.
        row_groups: Those to read, ascending; None: all.
        together: Reads all columns at once, for a store where each request takes long; else one after another.

    Returns:
        Numbers, times and lists of one length stand in one chunk in memory of the pool; anything else in Arrow's own.

    Raises:
        pyarrow.ArrowInvalid, OSError, MemoryError: as reading does.
    """
    metadata = reader.metadata
    groups = list(range(metadata.num_row_groups)) if row_groups is None else list(row_groups)
    rows = sum(metadata.row_group(number).num_rows for number in groups)
    if not rows:
        return reader.read_row_groups(groups, columns=list(columns), use_threads=False)
    row_bytes = _row_bytes(reader, groups)
    read: dict[str, pa.ChunkedArray] = {}
    for some in [list(columns)] if together else [[name] for name in columns]:
        piece_rows = int(_PIECE_BYTES / max(row_bytes[name] for name in some))
        read |= _read(reader, some, pool, groups, rows, max(piece_rows, _FEWEST))
    return pa.table(list(read.values()), names=list(read))


def _read(
    reader: pq.ParquetFile, columns: list[str], pool: BufferPool, groups: list[int], rows: int, piece_rows: int
) -> dict[str, pa.ChunkedArray]:
    taken: dict[str, _Column] = {}
    for piece in reader.iter_batches(piece_rows, groups, columns, use_threads=False):
        for field, values in zip(piece.schema, piece.columns):
            if field.name not in taken:
                taken[field.name] = _Column(field.type, rows, pool)
            taken[field.name].add(values)
    for name, column in taken.items():
        if column.rows != rows:
            raise pa.ArrowInvalid(f"{column.rows} rows of {name} were read, the footer counts {rows}")
    return {name: column.whole() for name, column in taken.items()}


def _row_bytes(reader: pq.ParquetFile, groups: Sequence[int]) -> dict[str, float]:
    """Column -> bytes of a row in the first of these groups: as written or, where that is more, as a plain value."""
    group = reader.metadata.row_group(groups[0])
    rows = max(group.num_rows, 1)
    found = {field.name: field.type.bit_width / 8 if is_plain(field.type) else 1 for field in reader.schema_arrow}
    written = dict.fromkeys(found, 0.0)
    for at in range(group.num_columns):
        column = group.column(at)
        name = column.path_in_schema.partition(".")[0]
        if name in written:
            written[name] += column.total_uncompressed_size / rows
    return {name: max(size, written[name]) for name, size in found.items()}


class _Column:
    """A column that grows piece by piece.

    Attributes:
        rows: Those that it has so far.
    """

    def __init__(self, kind: pa.DataType, rows: int, pool: BufferPool) -> None:
        self._kind, self._most, self._pool = kind, rows, pool
        self._plain = is_plain(kind)
        self._even = True  # whether all lists so far have one length
        self._done: list[pa.Array] = []
        self._values: Any = None  # bytes of the values that are filled, in the pool
        self._valid: Any = None  # bool[rows]; None while every value is one
        self._width = 0  # values of a list
        self._filled = 0  # rows
        self.rows = 0

    def add(self, values: pa.Array) -> None:
        self.rows += len(values)
        if self._plain:
            self._fill(bytes_of(values), values.type.bit_width // 8)
            if values.null_count:
                self._mark(values)
            self._filled += len(values)
            return
        matrix = matrix_of(values) if self._even else None
        if matrix is not None and self._width in (0, matrix.shape[1]):
            self._width = matrix.shape[1]
            self._fill(matrix.reshape(-1).view(np.uint8), matrix.shape[1] * matrix.itemsize)
            self._filled += len(values)
            return
        self._even = False
        self._close()
        self._done.append(values)

    def whole(self) -> pa.ChunkedArray:
        self._close()
        return pa.chunked_array(self._done, self._kind)

    def _fill(self, data: Any, width: int) -> None:
        """Put the bytes of some rows, so many bytes each, behind those that are there."""
        if self._values is None:
            left = self._most - self.rows + len(data) // width
            self._values = self._pool.empty(left * width, np.uint8)
        start = self._filled * width
        self._values[start : start + len(data)] = data

    def _mark(self, values: pa.Array) -> None:
        if self._valid is None:
            self._valid = np.ones(len(self._values) * 8 // self._kind.bit_width, bool)
        self._valid[self._filled : self._filled + len(values)] = values.is_valid().to_numpy(zero_copy_only=False)

    def _close(self) -> None:
        """Make one array of what was filled so far."""
        if self._values is None:
            return
        if self._width:
            kind = self._kind.value_type
            used = self._values[: self._filled * self._width * kind.bit_width // 8]
            self._done.append(even_lists(used.view(kind.to_pandas_dtype()), self._width, self._kind))
        else:
            self._done.append(as_array(self._kind, self._values, self._valid))
        self._values = self._valid = None
        self._width = self._filled = 0
