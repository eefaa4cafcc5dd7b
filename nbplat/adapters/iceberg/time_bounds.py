"""The times of a data file's rows, as its manifest bounds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.remote.sequence.times import UNITS

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.types import NestedField

__all__ = ["NO_ROWS", "time_bounds"]

_DAY_US = 86_400_000_000

NO_ROWS = (0, 0)
"""Bounds of a file that has no row with a time."""


def time_bounds(file: DataFile, field: NestedField, unit: str | None) -> tuple[int, int] | None:
    """From the first to before the second moment, microseconds since 1970 UTC; None when the manifest has no bounds.

    Clocks without a zone are wider by a day on both sides, whatever their zone.

    Args:
        field: A timestamp, date or integer column.
        unit: Of integers: ``s``, ``ms`` or ``us``.
    """
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import DateType, IntegerType, LongType, PrimitiveType, TimestampType, TimestamptzType

    kind, number = field.field_type, field.field_id
    counts, nulls = file.value_counts or {}, file.null_value_counts or {}
    if number in counts and counts[number] == nulls.get(number):
        return NO_ROWS
    lower, upper = (file.lower_bounds or {}).get(number), (file.upper_bounds or {}).get(number)
    if not lower or not upper or not isinstance(kind, PrimitiveType):
        return None
    first: Any = from_bytes(kind, lower)
    last: Any = from_bytes(kind, upper)
    if isinstance(kind, TimestamptzType):
        return first, last + 1
    if isinstance(kind, TimestampType):
        return first - _DAY_US, last + 1 + _DAY_US
    if isinstance(kind, DateType):
        return (first - 1) * _DAY_US, (last + 1) * _DAY_US + 1
    if isinstance(kind, IntegerType | LongType) and unit is not None:
        return first * UNITS[unit], last * UNITS[unit] + 1
    return None
