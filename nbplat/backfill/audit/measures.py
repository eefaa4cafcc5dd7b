"""A column of any type as scalar measures: what of it can be counted, ranged and drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Measure", "is_category", "is_time", "measures", "numbers", "type_text"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One scalar view of a column.

    Attributes:
        name: ``spend``, ``emb.norm``, ``address.city``.
        role: ``value``; of a list ``length``, ``norm`` (Euclidean, NaN when an element is) or
            ``holes`` (its null elements).
        values: One per row; null where the column is.
    """

    name: str
    role: str
    values: pa.Array


def measures(name: str, values: pa.Array) -> Iterator[Measure]:
    """A scalar column is its own measure, a list has a length, holes and for numbers a norm, a struct its fields'."""
    kind = values.type
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from measures(f"{name}.{kind.field(number).name}", pc.struct_field(values, [number]))
        return
    if not _is_list(kind):
        yield Measure(name, "value", values)
        return
    lengths = pc.list_value_length(values)
    elements = pc.list_flatten(values)
    rows = np.repeat(np.arange(len(values)), pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False))
    holes = np.bincount(rows, weights=elements.is_null().to_numpy(zero_copy_only=False), minlength=len(values))
    valid = values.is_valid()
    yield Measure(f"{name}.length", "length", pc.cast(lengths, pa.int64()))
    yield Measure(f"{name}.holes", "holes", _masked(holes, valid, pa.int64()))
    if _is_number(elements.type):
        floats = pc.fill_null(pc.cast(elements, pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
        norm = np.sqrt(np.bincount(rows, weights=floats * floats, minlength=len(values)))
        yield Measure(f"{name}.norm", "norm", _masked(norm, valid, pa.float64()))


def numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """The values that are not null as ``float64[n]``; a date in days, a timestamp in seconds since the epoch."""
    values = values.drop_null()
    kind = values.type
    if pa.types.is_timestamp(kind):
        per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        return np.asarray(values.cast(pa.int64()).to_numpy(zero_copy_only=False) / per_second, dtype=np.float64)
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        values = values.cast(pa.int32())
    elif pa.types.is_temporal(kind):
        values = values.cast(pa.int64())
    return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def is_category(kind: pa.DataType) -> bool:
    """True when values are counted by name: text, booleans, bytes."""
    return not (_is_number(kind) or pa.types.is_temporal(kind))


def is_time(kind: pa.DataType) -> bool:
    """True for dates and timestamps."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def type_text(kind: pa.DataType) -> str:
    """A type as Iceberg spells it; nested ones by their parts, without field ids.

    Views, large and dictionary-coded layouts of a type read as the type.
    """
    if pa.types.is_dictionary(kind):
        return type_text(kind.value_type)
    if pa.types.is_struct(kind):
        parts = (kind.field(number) for number in range(kind.num_fields))
        return f"struct<{', '.join(f'{part.name}: {type_text(part.type)}' for part in parts)}>"
    if _is_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_fixed_size_binary(kind):
        return f"fixed[{kind.byte_width}]"
    return next((name for test, name in _NAMES if test(kind)), str(kind))


_NAMES: tuple[tuple[Any, str], ...] = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int64, "long"),
    (pa.types.is_integer, "int"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
)


def _masked(values: npt.NDArray[Any], valid: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.array(values, mask=~valid.to_numpy(zero_copy_only=False)).cast(kind, safe=False)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
