"""Arrow arrays of values of a fixed width, as the memory that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["as_array", "bytes_of", "is_plain"]


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of this type are memory of a fixed width in whole bytes and no more."""
    if pa.types.is_boolean(kind) or isinstance(kind, pa.BaseExtensionType):
        return False
    wide = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(wide and kind.bit_width)


def bytes_of(values: pa.Array) -> Any:
    """The memory of the values of a plain type, without a copy.

    Returns:
        ``uint8[values x width]``; what stands at a null is anything.
    """
    width = values.type.bit_width // 8
    if not len(values):
        return np.empty(0, np.uint8)
    return np.frombuffer(values.buffers()[1], np.uint8, len(values) * width, values.offset * width)


def as_array(kind: pa.DataType, values: Any, valid: Any = None) -> pa.Array:
    """The reverse of `bytes_of`: an Arrow array over numpy's values, without a copy.

    Args:
        kind: A plain type.
        values: One dimension, contiguous; every ``kind.bit_width // 8`` bytes are a value.
        valid: ``bool[values]``; None where every value is one.
    """
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, values.nbytes * 8 // kind.bit_width, [bitmap, pa.py_buffer(values)])
