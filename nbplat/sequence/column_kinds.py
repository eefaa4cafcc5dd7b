"""What Arrow types mean to a sequence: what can be an entity, a time, a number, a vector."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from nbplat.sequence.definition import Zone

__all__ = ["ORDERED", "decoded", "kind_of", "time_fault", "vector_size"]

_KINDS: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
    ("boolean", pa.types.is_boolean),
    ("integer", pa.types.is_integer),
    ("float", pa.types.is_floating),
    ("decimal", pa.types.is_decimal),
    ("text", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
    (
        "binary",
        lambda t: (
            pa.types.is_binary(t)
            or pa.types.is_large_binary(t)
            or pa.types.is_fixed_size_binary(t)
            or pa.types.is_binary_view(t)
        ),
    ),
    ("date", pa.types.is_date),
    ("timestamp", pa.types.is_timestamp),
    (
        "list",
        lambda t: (
            pa.types.is_list(t)
            or pa.types.is_large_list(t)
            or pa.types.is_fixed_size_list(t)
            or pa.types.is_list_view(t)
            or pa.types.is_large_list_view(t)
        ),
    ),
)

# Kinds of columns whose values have an order and a hash: what an entity, an id or a vocabulary can be of.
ORDERED = ("integer", "text", "binary", "boolean", "date", "timestamp", "decimal", "float")


def decoded(kind: pa.DataType) -> pa.DataType:
    """The type of the values: of a dictionary or run-end encoding that of what it encodes."""
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def kind_of(kind: pa.DataType) -> str:
    """One of `ORDERED`, ``list``, or ``other`` (structs, maps, times of day, durations, nulls).

    A UUID and other extension types count as what they are stored as.
    """
    kind = decoded(kind)
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return next((name for name, holds in _KINDS if holds(kind)), "other")


def vector_size(kind: pa.DataType) -> int | None:
    """Numbers in each value of a list of numbers: of a fixed-size list its size, of another 0; None: no such list."""
    kind = decoded(kind)
    if kind_of(kind) != "list" or kind_of(kind.value_type) not in ("integer", "float"):
        return None
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 0


def time_fault(kind: pa.DataType, zone: Zone | None, unit: str | None) -> tuple[str, str] | None:
    """Why a column of this type is no moment in time, and the fix; None when it is one."""
    what = kind_of(kind)
    if what == "timestamp" and decoded(kind).tz is not None:
        return None
    if what in ("timestamp", "date"):
        if zone is not None:
            return None
        shown = "a date" if what == "date" else "a time without a zone"
        return shown, "say how it is to be read: timezone: Europe/London (or timezone: UTC)"
    if what == "integer":
        return None if unit is not None else ("an integer", "say what it counts: time_unit: ms (or s, us)")
    return f"of type {kind}, which is no time", "name a timestamp, a date, or an integer with time_unit"
