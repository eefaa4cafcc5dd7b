"""Keys as integers: whether they are unique, and where those of one table stand in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .duck import quoted, run_query

__all__ = ["as_integers", "key_numbers", "positions_of", "unique", "unique_integers"]

# A bit map over the span of the values beats sorting them up to this many bytes a value.
_MAP_BYTES = 8


def unique(table: pa.Table, keys: Sequence[str]) -> bool:
    """True when no row's key columns equal another's; they hold no null."""
    if table.num_rows < 2:
        return True
    if len(keys) == 1:
        column = table[keys[0]]
        numbers = as_integers(column)
        if numbers is not None:
            return unique_integers(numbers)
        return bool(pc.count_distinct(column).as_py() == table.num_rows)
    return unique_integers(composite(table, keys))


def unique_integers(values: Any) -> bool:
    """True when no value is there twice: by their order, a bit map over their span, or sorting."""
    if len(values) < 2 or bool(np.all(values[1:] > values[:-1])):
        return True
    low, high = int(values.min()), int(values.max())
    if high - low < _MAP_BYTES * len(values):
        seen = np.zeros(high - low + 1, dtype=bool)
        seen[values - low] = True
        return int(np.count_nonzero(seen)) == len(values)
    ordered = np.sort(values)
    return not bool(np.any(ordered[1:] == ordered[:-1]))


def positions_of(table: pa.Table, among: pa.Table, keys: Sequence[str]) -> Any:
    """For each row of `table` the row of `among` with its key (the first one), or -1; ``int64[rows]``."""
    if len(keys) == 1:
        have, want = table[keys[0]], among[keys[0]]
        if have.type != want.type:
            have, want = _alike(have, want)
        index = pc.index_in(have, value_set=_one(want))
    else:
        both = pa.table(
            [
                pa.chunked_array([*a.chunks, *b.chunks], type=a.type)
                for a, b in (_alike(table[key], among[key]) for key in keys)
            ],
            names=list(keys),
        )
        codes = composite(both, keys)
        index = pc.index_in(pa.array(codes[: table.num_rows]), value_set=pa.array(codes[table.num_rows :]))
    return np.asarray(pc.fill_null(index, -1).to_numpy(), dtype=np.int64)


def composite(table: pa.Table, keys: Sequence[str]) -> Any:
    """One integer per composite key, equal exactly when the keys are equal; ``int64[rows]``."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    span = 1
    for key in keys:
        part = table[key].combine_chunks().dictionary_encode()
        if isinstance(part, pa.ChunkedArray):
            part = part.combine_chunks()
        size = len(part.dictionary) + 1
        if span * size >= 1 << 62:
            # Renumber, so that the product never overflows.
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
            span = table.num_rows + 1
        codes = codes * size + part.indices.to_numpy(zero_copy_only=False)
        span *= size
    return codes


def key_numbers(keys: pa.Table, settings: Mapping[str, Any]) -> Any:
    """A number per row, the same for equal keys: integers are their own, other keys are hashed; ``int64[rows]``.

    Args:
        keys: The key columns; they hold no null.
        settings: Of the database that hashes.
    """
    if keys.num_columns == 1 and (numbers := as_integers(keys.column(0))) is not None:
        return numbers
    query = f"SELECT hash({', '.join(quoted(keys.column_names))}) AS number FROM nb__keys"
    return run_query(query, {"nb__keys": keys}, settings)["number"].to_numpy().view(np.int64)


def as_integers(column: Any) -> Any | None:
    """The values as int64, for types that are integers underneath; None for others."""
    kind = column.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        numbers = column
    elif pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        numbers = column.view(pa.int64() if kind.bit_width == 64 else pa.int32()) if hasattr(column, "view") else None
        if numbers is None:
            numbers = column.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
    else:
        return None
    return np.asarray(numbers.to_numpy(), dtype=np.int64)


def _alike(have: pa.ChunkedArray, want: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Both in one type: an engine may give int where the table has long, and back."""
    if have.type == want.type:
        return have, want
    if pa.types.is_integer(have.type) and pa.types.is_integer(want.type):
        return have.cast(pa.int64()), want.cast(pa.int64())
    return have.cast(want.type), want


def _one(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
