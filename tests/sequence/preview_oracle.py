"""Why each event is in or out and what leaks, told one event after another in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbplat.sequence.definition import Definition

Row = Mapping[str, Any]
SECOND = 1_000_000


@dataclass
class Told:
    """One example: each event's reason by id, and the tokens by id in the model's order."""

    reasons: dict[int, str] = field(default_factory=dict)
    tokens: list[list[int]] = field(default_factory=list)
    visible: dict[str, int] = field(default_factory=dict)


def tell(definition: Definition, events: Sequence[Row], user: Any, instant: int) -> Told:
    """Times in seconds; ids are unique, but for copies where `dedupe` is ``last``; ``where`` is `amount > 0`."""
    told = Told()
    end = definition.as_of.at == "end"
    strict, gap = definition.as_of.strict, definition.as_of.gap_us // SECOND
    cutoff = instant - gap
    retrieved: dict[str, list[Row]] = {}
    for rule in definition.events:
        mine = [row for row in events if row["user"] == user and row["kind"] == rule.event_type]
        mine.sort(key=lambda row: (row["at"], row["id"]))
        kept = []
        for row in mine:
            why = _why(rule, row, instant, cutoff, strict, end)
            told.reasons[row["row"]] = why
            if why == "beyond_last":
                kept.append(row)
        told.visible[rule.event_type] = len(kept)
        retrieved[rule.event_type] = kept[-rule.last :]
    if definition.layout == "mixed":
        every = [row for rows in retrieved.values() for row in rows]
        lists = [sorted(every, key=lambda row: (row["at"], row["kind"], row["id"]))]
    else:
        lists = [retrieved[rule.event_type] for rule in definition.events]
    for rows, length in zip(lists, _lengths(definition), strict=True):
        for row in rows:
            told.reasons[row["row"]] = "cut_by_size"
        sized = rows[-length:] if definition.size.truncate == "oldest" else rows[:length]
        for row in sized:
            told.reasons[row["row"]] = "selected"
        ids = [row["row"] for row in sized]
        told.tokens.append(ids[::-1] if definition.size.order == "newest_first" else ids)
    return told


def _lengths(definition: Definition) -> list[int]:
    if definition.layout == "mixed":
        return [definition.size.length or sum(rule.last for rule in definition.events)]
    return [definition.size.lengths.get(rule.event_type, rule.last) for rule in definition.events]


def _why(rule: Any, row: Row, instant: int, cutoff: int, strict: bool, end: bool) -> str:
    if not end:
        if not (row["at"] < cutoff if strict else row["at"] <= cutoff):
            return "in_gap" if row["at"] < instant else "not_before"
        if not (row["seen"] < instant if strict else row["seen"] <= instant):
            return "not_known"
    until = row.get("until")
    if until is not None and (end or (until < instant if strict else until <= instant)):
        return "superseded"
    if rule.where is not None and not row["amount"] > 0:
        return "where_false"
    if rule.within_us is not None and not end and row["at"] < cutoff - rule.within_us // SECOND:
        return "outside_window"
    return "beyond_last"


def copies_until(events: Sequence[Row]) -> list[Row]:
    """Copies of an id, each with the moment at which the next one was known."""
    told = []
    for row in events:
        later = [
            other
            for other in events
            if other["user"] == row["user"]
            and other["id"] == row["id"]
            and (other["seen"], other["order"]) > (row["seen"], row["order"])
        ]
        told.append({**row, "until": min((other["seen"] for other in later), default=None)})
    return told


def totals(told: Sequence[Told]) -> Counter[str]:
    """Reason -> pairs of example and event."""
    return Counter(why for each in told for why in each.reasons.values())
