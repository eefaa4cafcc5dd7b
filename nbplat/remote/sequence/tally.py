"""Counts of what building an index met, as plain JSON that adds up over chunks, units and days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["add", "new_tally"]

_MOST_NAMES = 1_000
_COUNTS = (
    "read",
    "null_entity",
    "null_type",
    "null_time",
    "null_arrival",
    "other_types",
    "early",
    "late",
    "dropped",
    "equal",
    "tied",
    "rows",
    "entities",
)


def new_tally() -> dict[str, Any]:
    """A tally of nothing.

    Of the keys, ``read`` counts rows of the source; ``null_entity``, ``null_type``, ``null_time``, ``null_arrival`` and
    ``other_types`` what was left out, each row once, in this order; ``early`` arrivals before the event, with
    ``early_example``, and ``late`` those after it; ``dropped`` copies that dedupe left out; ``equal`` rows that are
    equal to another in all declared columns and stayed; ``tied`` events that share entity, type and time with another;
    ``rows`` and ``entities`` what is in the index; ``first_us`` and ``last_us`` its span, None when it is empty;
    ``by_type`` its events by type; ``others`` the left-out types' rows by name, the most frequent ones; ``enriched`` by
    name of an enrichment the events that found a value.
    """
    return {
        **dict.fromkeys(_COUNTS, 0),
        "early_example": None,
        "first_us": None,
        "last_us": None,
        "by_type": {},
        "others": {},
        "enriched": {},
    }


def add(tallies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of tallies; the order does not count."""
    total = new_tally()
    for tally in tallies:
        for name in _COUNTS:
            total[name] += tally[name]
        for name in ("by_type", "others", "enriched"):
            for key, count in tally[name].items():
                total[name][key] = total[name].get(key, 0) + count
        for name, least in (("early_example", min), ("first_us", min), ("last_us", max)):
            known = [value for value in (total[name], tally[name]) if value is not None]
            total[name] = least(known) if known else None
    total["others"] = dict(sorted(total["others"].items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_NAMES])
    return total
