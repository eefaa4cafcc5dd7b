"""Numbers as people read them, the same everywhere."""

from __future__ import annotations

from nbplat.terms import counted

__all__ = ["bytes_text", "count_text", "duration_text", "share_text"]

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def bytes_text(count: int) -> str:
    """``0 B``, ``999 B``, ``1.2 kB``, ``34.5 MB``: powers of 1000, as disks and object stores bill."""
    if abs(count) < 1000:
        return f"{count} B"
    size = float(count)
    for unit in _UNITS:
        size /= 1000
        if abs(size) < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size:,.1f} {_UNITS[-1]}"


def count_text(count: int, noun: str = "") -> str:
    """``1,234,567``, or with a noun ``1 row`` and ``2 rows``."""
    if not noun:
        return f"{count:,}"
    return counted(count, noun)


def duration_text(seconds: float) -> str:
    """``12 ms``, ``3.4 s``, ``2 min 05 s``, ``1 h 02 min``, ``3 d 04 h``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def share_text(part: float, whole: float) -> str:
    """``42.0 %``; a dash where the whole is nothing. Never rounds up to 100 %."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{min(share, 99.9) if part < whole else share:.1f} %"
