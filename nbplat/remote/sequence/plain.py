"""A column's logical values in one of a few plain types, so that what follows does not know how they were stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

__all__ = ["plain"]

_US_A_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}


def plain(column: Any) -> pa.Array:
    """The values as one array of a plain type; nulls stay.

    Args:
        column: Array or chunked array. Dictionaries, run ends and views are decoded, an extension is its storage.

    Returns:
        ``bool``; ``int64`` for integers, and for dates, times, timestamps and durations in microseconds (nanoseconds
        are cut as Arrow casts them); ``uint64`` for itself; ``float64`` with one zero and one NaN; ``large_binary`` for
        texts and bytes; a decimal; ``large_list``; ``struct``; ``null``.

    Raises:
        KernelError: ``sequence.column_type``: a type that has no plain form (unions, month intervals).
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(_storage(column))
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(column))
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _in_order(column)
    target = _target(kind)
    if target is not None:
        return _one(column if kind == target else column.cast(target, safe=False))
    if pa.types.is_floating(kind):
        return _floats(_one(column if kind == pa.float64() else column.cast(pa.float64())))
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        return _microseconds(_one(column))
    raise KernelError(
        "sequence.column_type",
        f"columns of type {kind} are not known here",
        fix="leave the column out, or store it as numbers, texts, times, lists or structs",
    )


def _target(kind: pa.DataType) -> pa.DataType | None:
    """The plain type that a cast gives; None where a cast does not do."""
    types = pa.types
    if types.is_boolean(kind) or types.is_null(kind) or types.is_decimal(kind) or types.is_struct(kind):
        return kind
    if types.is_integer(kind):
        return pa.uint64() if kind == pa.uint64() else pa.int64()
    if any(is_text(kind) for is_text in (types.is_string, types.is_large_string, types.is_string_view)):
        return pa.large_binary()
    if any(is_bytes(kind) for is_bytes in (types.is_binary, types.is_large_binary, types.is_binary_view)):
        return pa.large_binary()
    if types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if types.is_map(kind):
        return pa.large_list(pa.field("entries", pa.struct([kind.key_field, kind.item_field])))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(kind.value_field)
    return None


def _one(column: Any) -> pa.Array:
    """One array; offsets are wide by now, so joining chunks cannot overflow them."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _in_order(column: Any) -> pa.Array:
    """List views as lists: a cast leaves their offsets as they are, which need not ascend."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(pc.list_value_length(array).fill_null(0).to_numpy(), out=offsets[1:])
    mask = array.is_null() if array.null_count else None
    return pa.LargeListArray.from_arrays(pa.array(offsets), pc.list_flatten(array), mask=mask)


def _storage(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([each.storage for each in column.chunks], column.type.storage_type)
    return column.storage


def _floats(array: pa.Array) -> pa.Array:
    values = array.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
    values[np.isnan(values)] = np.nan
    return _with_nulls(values, array)


def _microseconds(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_date32(kind):
        unit, factor = pa.int32(), 86_400_000_000
    elif pa.types.is_date64(kind):
        unit, factor = pa.int64(), 1_000
    else:
        unit = pa.int32() if kind.bit_width == 32 else pa.int64()
        factor = _US_A_UNIT.get(kind.unit, 0)
    numbers = array.view(unit)
    if factor == 1:
        return numbers
    values = numbers.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    # Towards zero, as Arrow's cast cuts.
    values = values * factor if factor else _towards_zero(values)
    return _with_nulls(values, array)


def _towards_zero(nanoseconds: Any) -> Any:
    return nanoseconds // 1000 + ((nanoseconds < 0) & (nanoseconds % 1000 != 0))


def _with_nulls(values: Any, like: pa.Array) -> pa.Array:
    if like.null_count == 0:
        return pa.array(values)
    return pa.array(values, mask=like.is_null().to_numpy(zero_copy_only=False))
