"""Values as integers that sort like them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .plain import plain

__all__ = ["rank"]


def rank(column: Any, what: str) -> Any:
    """Integers ``[rows]`` that sort like the values and are equal exactly when they are; anything where they are null.

    Numbers, times and booleans sort by value (NaN last), texts and bytes by their bytes.

    Args:
        what: The column, for the message.

    Raises:
        KernelError: ``sequence.order``: values of the type have no order; ``sequence.column_type``.
    """
    if pa.types.is_integer(column.type) and not column.null_count:
        # As they lie: a narrow column stays narrow.
        return column.to_numpy()
    array = plain(column)
    kind = array.type
    if pa.types.is_large_binary(kind) or pa.types.is_decimal(kind):
        return _of_distinct(array)
    if pa.types.is_nested(kind):
        raise KernelError(
            "sequence.order",
            f"{what} is of type {column.type}, which has no order",
            fix="name a column of numbers, texts or times",
            kind="RequestError",
        )
    if pa.types.is_null(kind):
        return np.zeros(len(array), dtype=np.int8)
    if pa.types.is_boolean(kind):
        return array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.int8)
    values = array.fill_null(0).to_numpy(zero_copy_only=False) if array.null_count else array.to_numpy()
    if kind == pa.float64():
        bits = values.view(np.int64)
        # Below zero the bits of a larger magnitude are larger: turn them round, under all that are not below.
        return np.where(bits < 0, ~bits ^ np.int64(-1 << 63), bits)
    return values


def _of_distinct(array: pa.Array) -> Any:
    encoded = array.dictionary_encode()
    order = np.asarray(pc.sort_indices(encoded.dictionary))
    places = np.empty(len(order) + 1, dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    places[-1] = len(order)
    return places[encoded.indices.fill_null(len(order)).to_numpy()]
