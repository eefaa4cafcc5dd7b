"""Whether two columns hold equal values, row by row, nested ones too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RELATIVE_TOLERANCE", "unequal_rows"]

# Float sums may be added in another order by another thread; this is the tolerance the docs state.
RELATIVE_TOLERANCE = 1e-9
_SINGLE_TOLERANCE = 1e-6  # of 32-bit floats, where it is the larger

# Sums that cancel leave a rest that depends on the order of adding; it is small beside the column's own values.
_REST = 1e-3

Mask = npt.NDArray[np.bool_]


def unequal_rows(before: pa.Array, after: pa.Array, *, tolerance: float = RELATIVE_TOLERANCE) -> Mask:
    """``bool[rows]``, True where the values differ.

    Args:
        before, after: Columns of one length and one Iceberg type.
        tolerance: Relative, for floating numbers at every level; values near 0 are held against a thousandth of
            the largest. NaN equals NaN, null equals null.
    """
    before, after = _whole(before), _whole(after)
    nulls: list[Mask] = [_mask(pc.is_null(side)) for side in (before, after)]
    one_null: Mask = nulls[0] != nulls[1]
    both: Mask = ~(nulls[0] | nulls[1])
    kind = before.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        differs = _unequal_lists(before, after, both, tolerance)
        return _either(one_null, both & differs)
    if pa.types.is_struct(kind):
        different = np.zeros(len(before), dtype=bool)
        for name in (field.name for field in kind):
            different |= unequal_rows(pc.struct_field(before, name), pc.struct_field(after, name), tolerance=tolerance)
        return _either(one_null, both & different)
    if pa.types.is_floating(kind) and pa.types.is_floating(after.type):
        one, other = (np.asarray(side.to_numpy(zero_copy_only=False), np.float64) for side in (before, after))
        with np.errstate(invalid="ignore", over="ignore"):
            finite = np.isfinite(one) & np.isfinite(other)
            rest = np.abs(one[finite]).max(initial=0.0) * _REST
            narrow = pa.types.is_float32(kind) or pa.types.is_float32(after.type)
            share = max(tolerance, _SINGLE_TOLERANCE) if narrow else tolerance
            near = finite & (np.abs(one - other) <= np.maximum(np.abs(one), rest) * share)
        same = near | (one == other) | (np.isnan(one) & np.isnan(other))
        return _either(one_null, both & ~same)
    return _either(one_null, both & _mask(pc.fill_null(pc.not_equal(before, after), False)))


def _unequal_lists(before: pa.Array, after: pa.Array, both: Mask, tolerance: float) -> Mask:
    lengths, others = (np.asarray(pc.fill_null(pc.list_value_length(side), 0)) for side in (before, after))
    different: Mask = lengths != others
    rows = np.flatnonzero(both & ~different)
    picked = pa.array(rows)
    elements = unequal_rows(before.take(picked).flatten(), after.take(picked).flatten(), tolerance=tolerance)
    owners = np.repeat(rows, lengths[rows])
    different[owners[elements]] = True
    return different


def _whole(values: pa.Array) -> pa.Array:
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _mask(values: pa.Array) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)


def _either(one: Mask, other: Mask) -> Mask:
    return np.logical_or(one, other)
