"""Casts of a computed column to the type it was planned with: every value is kept, or it is an error."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CastError", "cast_column"]

_WIDEST = 76  # digits of a decimal256


class CastError(ValueError):
    """A value that the type cannot hold; its text says which."""


def cast_column(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast a column, nested values included.

    Integers must fit; a double becomes an integer when it is whole, a float when it is in a float's range (digits
    beyond a float's go, as in any store of floats), a decimal when the decimal's whole digits hold it (it is
    rounded to the scale). Struct fields are matched by name, fixed-length lists become lists.

    Raises:
        CastError: a value does not fit, or the types do not go together.
    """
    if column.type == kind:
        return column
    try:
        return pa.chunked_array([_cast(chunk, kind) for chunk in column.chunks], kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise CastError(str(exc).splitlines()[0]) from None


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    source = values.type
    if source == kind:
        return values
    if pa.types.is_null(source) or values.null_count == len(values):
        return pa.nulls(len(values), kind)
    if pa.types.is_dictionary(source):
        return _cast(values.dictionary_decode(), kind)
    if pa.types.is_list(kind) and _is_list(source):
        return _cast_list(values, kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(source):
        return _cast_struct(values, kind)
    if pa.types.is_nested(source) or pa.types.is_nested(kind):
        raise CastError(f"{source} does not become {kind}")
    if pa.types.is_decimal(kind) and pa.types.is_integer(source):
        # Arrow wants room for the widest integer; each value is judged by itself on the way back.
        return pc.cast(pc.cast(values, pa.decimal256(_WIDEST, kind.scale)), kind)
    if pa.types.is_float32(kind) and pa.types.is_float64(source):
        narrow = pc.cast(values, kind)
        lost = pc.and_(pc.is_finite(values), pc.invert(pc.is_finite(narrow)))
        if pc.any(lost, min_count=0).as_py():
            raise CastError(f"Value {values.filter(lost)[0].as_py()} is beyond a float's range")
        return narrow
    return pc.cast(values, kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _cast_list(values: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False), np.int64)
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise CastError(f"{offsets[-1]} list elements are too many for one piece")
    inner = _cast(values.flatten(), kind.value_type)
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), inner, type=kind, mask=values.is_null() if values.null_count else None
    )


def _cast_struct(values: pa.Array, kind: pa.DataType) -> pa.Array:
    have = [values.type.field(number).name for number in range(values.type.num_fields)]
    want = [kind.field(number) for number in range(kind.num_fields)]
    if sorted(have) != sorted(field.name for field in want):
        raise CastError(f"a struct of {', '.join(have)} does not become one of {', '.join(f.name for f in want)}")
    # Of a null struct the fields may hold anything; `flatten` makes them null.
    parts = dict(zip(have, values.flatten()))
    return pa.StructArray.from_arrays(
        [_cast(parts[field.name], field.type) for field in want],
        fields=want,
        mask=values.is_null() if values.null_count else None,
    )
