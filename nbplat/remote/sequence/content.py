"""SHA-256 of what a table says, however it is stored: chunks, dictionaries and widths do not count."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .plain import plain

__all__ = ["content_digest"]


def content_digest(table: pa.Table) -> str:
    """SHA-256 in hex of the rows in their order; equal tables of values have the same.

    Names, the order of columns and rows, and values count; integers as int64, floats as float64 with one zero and one
    NaN, times as microseconds, decimals with their scale, nulls as nulls.

    Raises:
        KernelError: ``sequence.column_type``: a column of a type that has no plain form.
    """
    digest = hashlib.sha256()
    digest.update(f"{table.num_rows} {table.num_columns}".encode())
    for name, column in zip(table.column_names, table.columns):
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
        _take_in(digest, plain(column))
    return digest.hexdigest()


def _take_in(digest: Any, array: pa.Array) -> None:
    kind = array.type
    digest.update(f"{_word(kind)} {len(array)} {array.null_count};".encode())
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_null(kind):
        return
    if pa.types.is_large_list(kind):
        digest.update(_bytes(pc.list_value_length(array).fill_null(0)))
        _take_in(digest, plain(array.flatten()))
    elif pa.types.is_struct(kind):
        for at, child in enumerate(array.flatten()):
            digest.update(kind.field(at).name.encode() + b"\0")
            _take_in(digest, plain(child))
    elif pa.types.is_large_binary(kind):
        digest.update(_bytes(pc.binary_length(array).fill_null(0)))
        whole = array.drop_null()
        offsets = np.frombuffer(whole.buffers()[1], dtype=np.int64)[whole.offset : whole.offset + len(whole) + 1]
        if len(whole):
            digest.update(memoryview(whole.buffers()[2])[int(offsets[0]) : int(offsets[-1])])
    elif pa.types.is_decimal(kind):
        _take_in(digest, plain(array.cast(pa.decimal256(76, kind.scale)).cast(pa.string())))
    elif pa.types.is_boolean(kind):
        digest.update(np.packbits(array.fill_null(False).to_numpy(zero_copy_only=False)).tobytes())
    else:
        digest.update(_bytes(array.fill_null(0)))


def _word(kind: pa.DataType) -> str:
    """The plain type without what it is made of."""
    if pa.types.is_decimal(kind):
        return f"decimal {kind.scale}"
    return "integer" if pa.types.is_integer(kind) else str(kind).partition("<")[0]


def _bytes(array: pa.Array) -> bytes:
    return bytes(
        array.to_numpy(zero_copy_only=False).astype("<i8" if pa.types.is_integer(array.type) else "<f8").tobytes()
    )
