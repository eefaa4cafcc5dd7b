"""Moments, ages, shares and sizes as people read them, the same in text, HTML and the widget's tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["age_text", "bytes_text", "letters", "moment_text", "seconds_text", "share_text"]

_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))


def moment_text(us: int) -> str:
    """``2011-12-09T12:50:00Z``; with a fraction only where there is one. A number out of the calendar stays one."""
    import numpy as np

    whole, part = divmod(us, 1_000_000)
    if not -62_135_596_800 <= whole <= 253_402_300_799:
        return f"{us} us"
    text = str(np.datetime64(whole, "s"))
    return f"{text}.{part:06d}".rstrip("0") + "Z" if part else f"{text}Z"


def age_text(us: int, units: int = 2) -> str:
    """``3d4h``, ``5m10s``, ``0.25s``: the largest unit and, with two `units`, the next; negative ages have a sign."""
    if us < 0:
        return "-" + age_text(-us, units)
    for place, (unit, size) in enumerate(_UNITS[:-1]):
        if us >= size:
            finer, fine_size = _UNITS[place + 1]
            rest = us % size // fine_size
            return f"{us // size:,}{unit}" + (f"{rest}{finer}" if rest and units > 1 else "")
    return f"{us / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"


def share_text(part: float, whole: float) -> str:
    """``12.4 %``; 0 and 100 only when it is so; ``-`` of nothing."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return f"{min(share, 99.9) if part < whole else share:.1f} %".replace(".0 %", " %")


def bytes_text(count: int) -> str:
    """``999 B``, ``1.2 kB``, ``34.5 MB``: powers of 1000."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.95 or unit == "TB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


def seconds_text(seconds: float) -> str:
    """``12 ms``, ``3.4 s``, ``125 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:,.0f} s"


def letters(types: Sequence[str]) -> dict[str, str]:
    """A distinct lower-case letter or digit for each type: of its name where one is free; ``#`` when all are used."""
    found: dict[str, str] = {}
    spare = "abcdefghijklmnopqrstuvwxyz0123456789"
    for name in dict.fromkeys(types):
        own = [each for each in name.lower() if each in spare]
        found[name] = next((each for each in (*own, *spare) if each not in found.values()), "#")
    return found
