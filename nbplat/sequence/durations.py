"""Durations as people write them: ``90d``, ``5m``, ``1h30m``."""

from __future__ import annotations

import re

__all__ = ["DURATION_FORM", "MAX_DURATION_US", "duration_text", "duration_us"]

_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_UNITS = {"w": 7 * _US["d"], **_US}
_PART = re.compile(r"([0-9]+)(us|ms|[wdhms])", re.ASCII)
_WHOLE = re.compile(r"(?:[0-9]+(?:us|ms|[wdhms]))+\Z", re.ASCII)

# Times are int64 microseconds; a limit far below that keeps every subtraction inside.
MAX_DURATION_US = 100_000 * _US["d"]

DURATION_FORM = "a duration such as 90d, 5m or 1h30m (units w d h m s ms us, each once, the largest first)"


def duration_us(text: str) -> int:
    """Microseconds of ``1h30m``; ``0s`` is 0.

    Raises:
        ValueError: another form, a unit twice or out of order, or more than 100,000 days; the message says which.
    """
    if not _WHOLE.match(text):
        raise ValueError(f"{text!r} has no unit" if text.isdigit() else f"{text!r} is no duration")
    parts = _PART.findall(text)
    sizes = [_UNITS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError(f"{text!r} has its units out of order or twice")
    # A text of digits without end is refused before it becomes a number without end.
    if any(len(digits) > 20 for digits, _ in parts):
        raise ValueError(f"{text[:20]}… is more than 100000d")
    total = sum(int(digits) * size for (digits, _), size in zip(parts, sizes, strict=True))
    if total > MAX_DURATION_US:
        raise ValueError(f"{text!r} is more than 100000d")
    return total


def duration_text(us: int) -> str:
    """The shortest way to write it with days as the largest unit: ``1d12h``, ``0s``."""
    parts = []
    for unit, size in _US.items():
        count, us = divmod(us, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
