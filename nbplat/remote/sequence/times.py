"""Time columns of any kind as microseconds since 1970 UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

__all__ = ["UNITS", "check_time", "to_us"]

# Integer times by unit: how many microseconds.
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}

_OPTIONS = {"refuse": "raise", "earliest": "earliest", "latest": "latest"}


def to_us(column: Any, *, unit: str | None, zone: Mapping[str, str] | None, name: str) -> Any:
    """Moments of a time column.

    Timestamps with a zone are moments as they are. Timestamps without one and dates (their first moment) are read on
    the clock of `zone`. Nanoseconds are cut to microseconds, towards 1970 as Arrow cuts them.

    Args:
        column: Array or chunked array: timestamps of any unit, dates, or integers; a dictionary of such. No nulls.
        unit: Of integers: ``s``, ``ms`` or ``us`` since 1970 UTC.
        zone: ``name`` (IANA), and what holds for an hour that the clock shows twice (``ambiguous``) or skips
            (``missing``): ``earliest``, ``latest`` or ``refuse``. In a skipped hour they are the last microsecond
            before the clock jumps, and the moment at which it does.
        name: What the column is called.

    Returns:
        ``int64[rows]``.

    Raises:
        KernelError: what `check_time` raises; ``sequence.time_null``; ``sequence.time_range``, beyond what 64 bits
            of microseconds hold; ``sequence.time_ambiguous`` and ``sequence.time_missing`` (with their count and one
            of them) where `zone` refuses; ``sequence.zone_unknown``.
    """
    column = _plain(column)
    kind = column.type
    check_time(kind, unit=unit, zone=zone, name=name)
    if column.null_count:
        raise KernelError(
            "sequence.time_null",
            f"{column.null_count} of {len(column)} values of {name} are null",
            fix=f"fill {name}, or leave these rows out",
        )
    if pa.types.is_integer(kind):
        assert unit is not None  # noqa: S101 - check_time has refused it
        return _scaled(column, unit, name)
    try:
        values = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=not _is_ns(kind))
    except pa.ArrowInvalid:
        raise _beyond(name, pc.min_max(column)) from None
    if values.type.tz is None:
        assert zone is not None  # noqa: S101 - check_time has refused it
        values = _on_clock(values, zone, name)
    return _numbers(values.cast(pa.int64()))


def check_time(kind: pa.DataType, *, unit: str | None, zone: Mapping[str, str] | None, name: str) -> None:
    """Return when columns of this type can be read as times so; looks at no data.

    Raises:
        KernelError: of kind RequestError: ``sequence.not_a_time``, ``sequence.time_unit`` (an integer without a
            unit), ``sequence.time_zone`` (neither the column nor the declaration says whose clock it is).
    """
    if pa.types.is_dictionary(kind):
        return check_time(kind.value_type, unit=unit, zone=zone, name=name)
    if pa.types.is_integer(kind):
        if unit not in UNITS:
            raise KernelError(
                "sequence.time_unit",
                f"{name} is of type {kind}, and nothing says what it counts",
                fix="add `time_unit: ms` (or s, us): units since 1970-01-01 UTC",
                kind="RequestError",
            )
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if getattr(kind, "tz", None) is None and zone is None:
            what = "a date" if pa.types.is_date(kind) else "a timestamp without a time zone"
            raise KernelError(
                "sequence.time_zone",
                f"{name} is {what}, and nothing says whose clock it is",
                fix="add `timezone: UTC`, or the zone that wrote it, e.g. `timezone: Europe/London`",
                kind="RequestError",
            )
    else:
        raise KernelError(
            "sequence.not_a_time",
            f"{name} is of type {kind}, which is no time",
            fix="name a column of timestamps or dates, or of integers with `time_unit`",
            kind="RequestError",
        )
    return None


def _plain(column: Any) -> pa.ChunkedArray:
    if not isinstance(column, pa.ChunkedArray):
        column = pa.chunked_array([column])
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_ns(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.unit == "ns")


def _scaled(column: pa.ChunkedArray, unit: str, name: str) -> Any:
    try:
        numbers = _numbers(column.cast(pa.int64()))
    except pa.ArrowInvalid:
        raise _beyond(name, pc.min_max(column)) from None
    factor = UNITS[unit]
    most = np.iinfo(np.int64).max // factor
    if factor > 1 and len(numbers) and (int(numbers.max()) > most or int(numbers.min()) < -most):
        raise _beyond(name, pc.min_max(column))
    return numbers * factor if factor > 1 else numbers


def _on_clock(values: pa.ChunkedArray, zone: Mapping[str, str], name: str) -> pa.ChunkedArray:
    ambiguous, missing = zone["ambiguous"], zone["missing"]
    try:
        return _assumed(values, zone["name"], ambiguous, missing)
    except pa.ArrowInvalid as exc:
        if "timezone" in str(exc) and "locate" in str(exc):
            raise KernelError(
                "sequence.zone_unknown",
                f"there is no time zone {zone['name']!r} on this machine",
                fix="write an IANA name, e.g. Europe/London, and have the system's tzdata installed on every worker",
                kind="SetupError",
            ) from None
        early = _assumed(values, zone["name"], "earliest", "earliest")
        late = _assumed(values, zone["name"], "latest", "latest")
    apart = _numbers(late.cast(pa.int64())) - _numbers(early.cast(pa.int64()))
    # The two moments beside a gap are one microsecond apart, those of a repeated hour at least minutes.
    skipped, twice = apart == 1, apart > 1
    if missing == "refuse" and skipped.any():
        raise _off_clock(
            "sequence.time_missing", "the clock skips", "missing: latest", values, skipped, zone["name"], name
        )
    raise _off_clock(
        "sequence.time_ambiguous", "the clock shows twice", "ambiguous: earliest", values, twice, zone["name"], name
    )


def _assumed(values: pa.ChunkedArray, zone: str, ambiguous: str, missing: str) -> pa.ChunkedArray:
    return pc.assume_timezone(values, zone, ambiguous=_OPTIONS[ambiguous], nonexistent=_OPTIONS[missing])


def _off_clock(
    code: str, what: str, option: str, values: pa.ChunkedArray, which: Any, zone: str, name: str
) -> KernelError:
    count = int(which.sum())
    first = values[int(np.flatnonzero(which)[0])].as_py()
    key, _, value = option.partition(": ")
    return KernelError(
        code,
        f"{count} of {len(values)} values of {name} stand in an hour that {what} in {zone}, e.g. {first}",
        fix=f"say what holds: `timezone: {{zone: {zone}, {key}: {value}}}` (or {_other(value)})",
    )


def _other(value: str) -> str:
    return "latest" if value == "earliest" else "earliest"


def _beyond(name: str, span: Any) -> KernelError:
    return KernelError(
        "sequence.time_range",
        f"{name} holds a time beyond the range of 64 bits of microseconds: {_shown(span)}",
        fix=f"leave such rows out, or check the unit of {name}",
    )


def _shown(span: Any) -> str:
    """Least and greatest value, as numbers where Python has no such date."""
    kind = span["min"].type
    number = pa.int64() if pa.types.is_timestamp(kind) else kind
    least, most = (span[end].cast(number) for end in ("min", "max"))
    unit = f" {kind.unit}" if pa.types.is_timestamp(kind) else ""
    return f"values are from {least} to {most}{unit}"


def _numbers(values: pa.ChunkedArray) -> Any:
    return values.to_numpy().astype(np.int64, copy=False)
