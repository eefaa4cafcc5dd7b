"""Rows of several tables put together in a given order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.buffer_pool import BufferPool
from nbplat.remote.even_lists import even_lists, matrix_of
from nbplat.remote.plain import as_array, bytes_of, is_plain

from .option import refused
from .places import taken, whole

__all__ = ["mixed"]


def mixed(tables: list[pa.Table], places: Any, each: Callable[..., Iterable[Any]] = map) -> pa.Table:
    """The rows at these places, in their order, in about as many chunks as there are tables.

    It goes column by column: a column of a window fits the processor's cache where a row of all columns, taken batch by
    batch, does not. The tables are let go column by column as well, so that the rows are in memory once, and one column
    twice; a chunk is as long as a table, so that the memory of one becomes the next one's.

    Args:
        tables: Of one schema, counted through from the first; the list is emptied. Whoever holds the tables elsewhere
            holds their memory.
        places: ``int64[rows]``.
        each: As `map`; does the columns at once where it has threads.
    """
    schema = tables[0].schema
    columns = [(field.type, [table.column(at) for table in tables]) for at, field in enumerate(schema)]
    tables.clear()
    ends = np.linspace(0, len(places), len(columns[0][1]) + 1 if columns else 1).astype(np.int64).tolist()
    pieces = [places[start:end] for start, end in zip(ends, ends[1:])]
    # What only stands beside the rows for a moment must not stay beside them for the rest of the pass.
    scratch = BufferPool()
    with scratch.kept():
        taken = list(each(lambda column: _taken(column[0], column[1], pieces, scratch), columns))
    return pa.table(taken, schema=schema)


def _taken(
    kind: pa.DataType, columns: list[pa.ChunkedArray], pieces: list[Any], scratch: BufferPool
) -> pa.ChunkedArray:
    """A column's rows at each piece's places; empties the list, so that they are held no longer than needed."""
    chunks = [whole(column) for column in columns]
    columns.clear()
    if is_plain(kind):
        valid = [_valid(chunk) for chunk in chunks] if any(chunk.null_count for chunk in chunks) else None
        parts = [_plain(chunk) for chunk in chunks]
        chunks.clear()
        moved = _moved(parts, pieces, scratch)
        present = [None] * len(pieces) if valid is None else _moved(valid, pieces, scratch)
        return pa.chunked_array([as_array(kind, *each) for each in zip(moved, present)], kind)
    matrices = [matrix_of(chunk) for chunk in chunks]
    widths = {None if matrix is None else matrix.shape[1] for matrix in matrices}
    if len(widths) == 1 and (width := widths.pop()) is not None:
        # A list moves as one value of its width: as a row of numbers it would take several times as long.
        number, parts = matrices[0].dtype, [_rows_of(matrix) for matrix in matrices]
        chunks.clear()
        matrices.clear()
        return pa.chunked_array(
            [even_lists(each.view(number), width, kind) for each in _moved(parts, pieces, scratch)], kind
        )
    joined = _joined(chunks)
    return pa.chunked_array([joined.take(pa.array(piece)) for piece in pieces], kind)


def _joined(chunks: list[pa.Array]) -> pa.Array:
    try:
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    except pa.ArrowInvalid:
        # Offsets of texts and ragged lists count to 2 GiB.
        raise refused("a window holds more than 2 GiB of one column", "give a smaller window") from None


def _moved(parts: list[Any], pieces: list[Any], scratch: BufferPool) -> list[Any]:
    """The values at each piece's places; empties the list."""
    joined = parts[0]
    if len(parts) > 1:
        joined = scratch.empty(sum(len(part) for part in parts), parts[0].dtype)
        np.concatenate(parts, out=joined)
    parts.clear()
    return [taken(joined, piece) for piece in pieces]


def _plain(values: pa.Array) -> Any:
    """The memory of the values, as numbers or bytes of their width."""
    width = values.type.bit_width // 8
    return bytes_of(values).view(f"u{width}" if width in (1, 2, 4, 8) else f"V{width}")


def _valid(values: pa.Array) -> Any:
    return values.is_valid().to_numpy(zero_copy_only=False)


def _rows_of(matrix: Any) -> Any:
    return np.ascontiguousarray(matrix).view(np.dtype((np.void, matrix.itemsize * matrix.shape[1])))[:, 0]
