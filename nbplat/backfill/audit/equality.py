"""Which rows of two columns differ, for every type a new column can have."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["unequal_rows"]

# Sums that cancel leave a rest that depends on the order of adding; it is small beside the column's values.
_REST = 1e-3

_SINGLE_PRECISION = 1e-6


def unequal_rows(before: pa.Array, after: pa.Array, tolerance: float) -> npt.NDArray[np.bool_]:
    """``bool[n]``, True where the values differ; two nulls are equal, and so are two NaN.

    Args:
        tolerance: Of floating numbers, relative to the value; values near 0 are held against a
            thousandth of the column's largest.
    """
    if after.type != before.type:
        after = after.cast(before.type, safe=False)
    kind = before.type
    empty, also = _nulls(before), _nulls(after)
    wrong: npt.NDArray[np.bool_] = empty != also
    both = ~empty & ~also
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            part = unequal_rows(pc.struct_field(before, [number]), pc.struct_field(after, [number]), tolerance)
            wrong |= both & part
        return wrong
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return wrong | _unequal_lists(before, after, both, tolerance)
    if pa.types.is_floating(kind):
        return wrong | (both & ~_near(before, after, tolerance))
    return wrong | (both & ~_bool(pc.fill_null(pc.equal(before, after), False)))


def _unequal_lists(
    before: pa.Array, after: pa.Array, both: npt.NDArray[np.bool_], tolerance: float
) -> npt.NDArray[np.bool_]:
    length = pc.fill_null(pc.list_value_length(before), 0).to_numpy(zero_copy_only=False)
    other = pc.fill_null(pc.list_value_length(after), 0).to_numpy(zero_copy_only=False)
    wrong: npt.NDArray[np.bool_] = both & (length != other)
    alike = pa.array(both & (length == other))
    rows = np.flatnonzero(both & (length == other))
    left, right = pc.list_flatten(before.filter(alike)), pc.list_flatten(after.filter(alike))
    differs = unequal_rows(left, right, tolerance)
    wrong[np.repeat(rows, length[rows])[differs]] = True
    return wrong


def _near(before: pa.Array, after: pa.Array, tolerance: float) -> npt.NDArray[np.bool_]:
    if pa.types.is_float32(before.type):
        tolerance = max(tolerance, _SINGLE_PRECISION)
    left, right = _floats(before), _floats(after)
    finite = np.abs(left[np.isfinite(left)])
    floor = float(finite.max()) * _REST if len(finite) else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(left - right) <= tolerance * np.maximum(np.abs(left), floor)
    same: npt.NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
    return same | (near & np.isfinite(left) & np.isfinite(right))


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    filled = pc.fill_null(values.cast(pa.float64()), 0.0)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _nulls(values: pa.Array) -> npt.NDArray[np.bool_]:
    return _bool(values.is_null())


def _bool(values: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.bool_)
