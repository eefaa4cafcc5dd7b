"""The keys that say how columns of times are read: ``timezone`` and ``arrival``."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping

from nbplat.errors import did_you_mean
from nbplat.sequence.definition import Zone
from nbplat.sequence.nodes import Entry, fault
from nbplat.sequence.read_value import Reading

__all__ = ["read_arrival", "read_zone"]

_Keys = Mapping[str, Entry]


def read_zone(reading: Reading, keys: _Keys) -> Zone | None:
    """``timezone``, a name or ``{zone, ambiguous, missing}``; None when it is not written."""
    if "timezone" not in keys:
        reading.default(("timezone",))
        return None
    node = keys["timezone"].node
    inside: _Keys = {"zone": keys["timezone"]}
    path: tuple[str, ...] = ("timezone",)
    if node.kind == "map":
        inside = reading.keys(node, path, "timezone")
        path = ("timezone", "zone")
        if "zone" not in inside:
            raise fault("missing", "timezone has no zone", "add zone: Europe/London", node.place)
    zone = reading.text(inside["zone"].node, path, "an IANA zone such as Europe/London")
    if not _known_zone(zone):
        fix = did_you_mean(zone, zoneinfo.available_timezones()) or "write an IANA zone such as Europe/London"
        raise fault("timezone", f"there is no time zone {zone!r}", fix, inside["zone"].node.place)
    given = inside if node.kind == "map" else {}
    return Zone(
        zone,
        reading.word(given, "ambiguous", "timezone") or "refuse",
        reading.word(given, "missing", "timezone") or "refuse",
    )


def _known_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def read_arrival(reading: Reading, keys: _Keys) -> tuple[str | None, str]:
    """``arrival``, a column or ``{column, early}``: the column, None when it is not written, and ``early``."""
    if "arrival" not in keys:
        reading.default(("arrival",))
        return None, "refuse"
    node = keys["arrival"].node
    if node.kind != "map":
        early = reading.word({}, "early", "arrival")
        return reading.text(node, ("arrival",), "a column"), early or "refuse"
    inside = reading.keys(node, ("arrival",), "arrival")
    if "column" not in inside:
        raise fault("missing", "arrival has no column", "add column: ingest_ts", node.place)
    column = reading.text(inside["column"].node, ("arrival", "column"), "a column")
    return column, reading.word(inside, "early", "arrival") or "refuse"
