"""What a sequence is, in plain Python: lists and dicts, one user after another, as slow as it likes.

Written from the words of the definition, not from the kernels; the tests hold the two against each other.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

__all__ = ["Chosen", "Past", "chosen", "histories", "row_hash", "sequence"]

_ALL = (1 << 64) - 1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Past:
    """One event of an entity's history, a copy of an event counting as one."""

    row: Mapping[str, Any]
    type: str
    time: int
    seen: int | None
    until: int | None
    hash: int


@dataclass(frozen=True)
class Chosen:
    """What a rule takes for one example, oldest first, and how many others there are."""

    events: tuple[Past, ...]
    before: int
    after: int
    unseen: int


# -- the hash, a value at a time ------------------------------------------------------------------


def _mix(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & _ALL
    word = ((word ^ word >> 30) * 0xBF58476D1CE4E5B9) & _ALL
    word = ((word ^ word >> 27) * 0x94D049BB133111EB) & _ALL
    return word ^ word >> 31


def _micros(value: Any) -> int:
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return (aware - _EPOCH) // dt.timedelta(microseconds=1)
    return (value - dt.date(1970, 1, 1)).days * _DAY_US


def _series(parts: Sequence[int]) -> int:
    """A list of words: each is mixed with its number, the sum with the length."""
    return sum(_mix((part + place * 0xD6E8FEB86659FD93) & _ALL) for place, part in enumerate(parts))


def _value_hash(value: Any) -> int:
    if value is None:
        return 0x452821E638D01377
    if isinstance(value, dict):
        return row_hash(list(value.values()))
    if isinstance(value, (list, tuple)):
        return _mix((_series([_value_hash(each) for each in value]) + len(value) * 0x94D049BB133111EB) & _ALL)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
        return _mix((_series(words) + len(data) * 0x94D049BB133111EB) & _ALL)
    if isinstance(value, Decimal):
        sign, digits, exponent = value.normalize().as_tuple()
        magnitude, places = int("".join(map(str, digits))), -int(exponent)
        if not magnitude:
            sign, places = 0, 0
        limbs = [magnitude >> 32 * at & 0xFFFFFFFF for at in range(8)]
        total = sum(_mix(limb + (at + 1) * 0xD6E8FEB86659FD93 & _ALL) for at, limb in enumerate(limbs) if limb)
        return _mix(total + places * 2 + sign & _ALL)
    if isinstance(value, float):
        value = math.nan if math.isnan(value) else value + 0.0
        return _mix(struct.unpack("<Q", struct.pack("<d", value))[0])
    if isinstance(value, (dt.datetime, dt.date)):
        return _mix(_micros(value) & _ALL)
    return _mix(int(value) & _ALL)


def row_hash(values: Sequence[Any]) -> int:
    """64 bits of a row's values, in the order of the columns."""
    state = 0x243F6A8885A308D3
    for value in values:
        state = ((state ^ _value_hash(value)) * 0xD6E8FEB86659FD93) & _ALL
        state ^= state >> 32
    return state


# -- histories ------------------------------------------------------------------------------------


def _by_value(value: Any) -> tuple[Any, ...]:
    """Sorts numbers by value, NaN behind them, texts by bytes, null last."""
    if value is None:
        return (2,)
    if isinstance(value, str):
        return (0, value.encode())
    if isinstance(value, float):
        return (1,) if math.isnan(value) else (0, value)
    return (0, value)


def _same(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def histories(
    rows: Sequence[Mapping[str, Any]],
    *,
    entity: Sequence[str],
    type: str,
    types: Sequence[str],
    time: str,
    arrival: str | None,
    id: Sequence[str],
    hashed: Sequence[str],
    dedupe: str,
) -> dict[tuple[Any, ...], list[Past]]:
    """Each entity's events in the total order; entities in the order of their values.

    Args:
        time, arrival: Columns of microseconds.
    """
    found: dict[tuple[Any, ...], list[Past]] = {}
    keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        whose = tuple(_same(row[name]) for name in entity)
        if None in whose or row[type] is None or row[time] is None or (arrival and row[arrival] is None):
            continue
        if str(row[type]) not in types:
            continue
        seen = max(row[arrival], row[time]) if arrival else None
        event = Past(row, str(row[type]), row[time], seen, None, row_hash([row[name] for name in hashed]))
        keys[whose] = tuple(_by_value(row[name]) for name in entity)
        found.setdefault(whose, []).append(event)
    ordered = {}
    for whose in sorted(found, key=lambda whose: keys[whose]):
        events = _one_of_copies(found[whose], id, dedupe)
        events.sort(key=lambda each: (each.type, each.time, [_by_value(each.row[name]) for name in id], each.hash))
        if dedupe == "exact":
            events = [
                each
                for at, each in enumerate(events)
                if at == 0 or _identity(each, id) != _identity(events[at - 1], id)
            ]
        ordered[whose] = events
    return ordered


def _identity(event: Past, id: Sequence[str]) -> tuple[Any, ...]:
    return (event.type, event.time, [_by_value(event.row[name]) for name in id], event.hash)


def _one_of_copies(events: list[Past], id: Sequence[str], dedupe: str) -> list[Past]:
    if dedupe not in ("first", "last") or not id:
        return list(events)
    copies: dict[tuple[Any, ...], list[Past]] = {}
    kept = []
    for event in events:
        number = tuple(_same(event.row[name]) for name in id)
        if None in number:
            kept.append(event)
        else:
            copies.setdefault((event.type, *number), []).append(event)
    for group in copies.values():
        group.sort(key=lambda each: (each.time if each.seen is None else each.seen, each.hash))
        if dedupe == "first":
            kept.append(group[0])
        elif group[0].seen is None:
            kept.append(group[-1])
        else:
            for at, copy in enumerate(group):
                until = group[at + 1].seen if at + 1 < len(group) else None
                # A copy replaced at the moment it is known is never the one that is known.
                if until != copy.seen:
                    kept.append(replace(copy, until=until))
    return kept


# -- what an example sees -------------------------------------------------------------------------


def chosen(
    history: Sequence[Past],
    *,
    type: str,
    last: int,
    within: int | None,
    where: Callable[[Mapping[str, Any]], bool] | None,
    as_of: int,
    strict: bool,
    gap: int,
    end: bool,
) -> Chosen:
    """The newest `last` events of a type that the example may see."""
    visible, after, unseen = [], 0, 0
    cutoff = as_of - gap

    def earlier(moment: int, than: int) -> bool:
        return moment < than if strict else moment <= than

    for event in history:
        if event.type != type or (where and not where(event.row)):
            continue
        if end:
            if event.until is None:
                visible.append(event)
            continue
        if not earlier(event.time, cutoff):
            after += 1
        elif within is not None and event.time < cutoff - within:
            pass
        elif event.seen is not None and not earlier(event.seen, as_of):
            unseen += 1
        elif event.until is not None and earlier(event.until, as_of):
            pass
        else:
            visible.append(event)
    return Chosen(tuple(visible[max(0, len(visible) - last) :]), len(visible), after, unseen)


def sequence(
    history: Sequence[Past], parts: Sequence[Chosen], *, order: str, limit: int | None, truncate: str
) -> list[Past]:
    """Several types' choices as one sequence."""
    place = {builtin_id(event): at for at, event in enumerate(history)}
    merged = [event for part in parts for event in part.events]
    merged.sort(key=lambda each: (each.time, each.type, place[builtin_id(each)]))
    if limit is not None and len(merged) > limit:
        merged = merged[len(merged) - limit :] if truncate == "oldest" else merged[:limit]
    return merged[::-1] if order == "newest_first" else merged


builtin_id = id
