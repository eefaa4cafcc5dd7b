"""Lists of one length, such as embeddings, as rows of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from .plain import as_array

__all__ = ["even_lists", "matrix_of"]


def matrix_of(column: pa.Array) -> Any:
    """Lists of numbers as ``[rows, length]``, without a copy; None when lengths differ, or with any null."""
    kind = column.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind)) or column.null_count or not len(column):
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


def even_lists(values: Any, width: int, kind: pa.DataType) -> pa.Array:
    """The reverse of `matrix_of`: lists of `width` values each, without a copy.

    Args:
        values: One dimension, contiguous, in the type of the list's values.
        kind: A list, or a list of a fixed size.
    """
    inner = as_array(kind.value_type, values)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(inner, type=kind)
    offsets = np.arange(0, len(inner) + 1, width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind)
