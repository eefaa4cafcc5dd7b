"""Batches as arrays: numbers as they are, lists as matrices or values with offsets, never arrays of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_arrays", "matrix"]

OFFSETS = "__offsets"


def as_arrays(batch: pa.RecordBatch) -> dict[str, Any]:
    """A batch as numpy arrays by name.

    Numbers and truth values keep their type and, without nulls, their memory; with nulls, floats get NaN, and
    integers and truth values become float64 with NaN. Times are ``datetime64``, null is NaT. Lists of one length
    become ``[rows, length]`` without a copy where none is null; ragged ones become their values under the name and
    ``int32[rows + 1]`` under ``<name>__offsets`` (a null list is an empty one). Lists in lists of one length become
    ``[rows, length, inner length]``. Texts and bytes are the only arrays of objects.
    """
    found: dict[str, Any] = {}
    for field, column in zip(batch.schema, batch.columns):
        if _is_list(field.type):
            found.update(_lists(field.name, column))
        else:
            found[field.name] = _plain(column)
    return found


def matrix(arrays: Mapping[str, Any], names: tuple[str, ...], kind: Any = np.float32) -> Any:
    """Some columns of `as_arrays` side by side, ``[rows, columns]``; a matrix column brings all of its own.

    Raises:
        KeyError: a column that is not there.
    """
    parts = [arrays[name] for name in names]
    widths = [part.shape[1] if part.ndim == 2 else 1 for part in parts]
    whole = np.empty((len(parts[0]) if parts else 0, sum(widths)), kind)
    start = 0
    for part, width in zip(parts, widths):
        whole[:, start : start + width] = part if part.ndim == 2 else part[:, None]
        start += width
    return whole


def _plain(column: pa.Array) -> Any:
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        column, kind = column.storage, column.type.storage_type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.float64() if column.null_count else pa.uint8())
        values: Any = column.to_numpy(zero_copy_only=False)
        return values.astype(np.bool_) if values.dtype == np.uint8 else values
    found: Any = column.to_numpy(zero_copy_only=False)
    return found


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(name: str, column: pa.Array) -> dict[str, Any]:
    lengths = pc.list_value_length(column)
    inner = column.flatten()
    found = _lists(name, inner) if _is_list(inner.type) else {name: _plain(inner)}
    rows, even = len(column), len(found) == 1
    if rows and even and not column.null_count:
        bounds = pc.min_max(lengths).as_py()
        if bounds["min"] == bounds["max"]:
            return {name: found[name].reshape(rows, bounds["min"], *found[name].shape[1:])}
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(lengths.fill_null(0).to_numpy(zero_copy_only=False), out=offsets[1:])
    deeper = {} if even else {name + OFFSETS + "_inside": found[name + OFFSETS]}
    return {name: found[name], **deeper, name + OFFSETS: offsets}
