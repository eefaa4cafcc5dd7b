"""Values as unsigned integers that sort like them, and several of those packed into one where they fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .plain import plain

__all__ = ["Packed", "packed", "rank", "signed"]

_SIGN = np.uint64(1 << 63)


class Packed(NamedTuple):
    """Several sort keys in one integer, the first in the highest bits.

    Attributes:
        keys: ``uint64[rows]``, smaller exactly when the rows' keys are smaller, one after the other.
        bits: How many bits each key takes, in the order given.
    """

    keys: Any
    bits: tuple[int, ...]


def signed(values: Any) -> Any:
    """``int64`` values as ``uint64`` that sort like them."""
    return np.asarray(values, dtype=np.int64).view(np.uint64) ^ _SIGN


def rank(column: Any, what: str) -> Any:
    """``uint64[rows]`` that sort like the values and are equal exactly when they are; anything where they are null.

    Numbers, times and booleans sort by value (NaN last), texts and bytes by their bytes.

    Args:
        what: The column, for the message.

    Raises:
        KernelError: ``sequence.order``: values of the type have no order.
    """
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
        return np.zeros(len(array), dtype=np.uint64)
    if pa.types.is_boolean(kind):
        return array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
    values = array.fill_null(0).to_numpy(zero_copy_only=False) if array.null_count else array.to_numpy()
    if kind == pa.uint64():
        return values
    if kind == pa.float64():
        bits = values.view(np.uint64)
        return np.where(bits >> np.uint64(63) != 0, ~bits, bits | _SIGN)
    return signed(values)


def _of_distinct(array: pa.Array) -> Any:
    encoded = array.dictionary_encode()
    order = np.asarray(pc.sort_indices(encoded.dictionary))
    places = np.empty(len(order) + 1, dtype=np.uint64)
    places[order] = np.arange(len(order), dtype=np.uint64)
    places[-1] = len(order)
    return places[encoded.indices.fill_null(len(order)).to_numpy()]


def packed(parts: list[Any]) -> Packed | None:
    """The keys in one integer, each less its smallest value; None when they need more than 64 bits.

    Args:
        parts: ``uint64[rows]`` each, the most important first; at least one row.
    """
    lows = [int(part.min()) for part in parts]
    bits = tuple((int(part.max()) - low).bit_length() for part, low in zip(parts, lows))
    if sum(bits) > 64:
        return None
    keys = np.zeros(len(parts[0]), dtype=np.uint64)
    for part, low, width in zip(parts, lows, bits):
        if width:
            if width < 64:
                keys <<= np.uint64(width)
            keys += part - np.uint64(low)
    return Packed(keys, bits)
