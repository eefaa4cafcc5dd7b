"""Which events an example may see: for each rule a range of the sorted events, less a few rows inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dedupe import NEVER
from .events import Events, Rule, Selection
from .plain import plain

__all__ = ["locate", "part", "select"]

_LEAST = np.iinfo(np.int64).min


def locate(events: Events, entity: pa.Table) -> Any:
    """Place of each entity in ``events.entities``; ``int32[rows]``, -1 where it is unknown or null.

    Args:
        entity: The entity columns in the events' order, whatever their names; values are compared as `bucket_of` takes
            them, so that widths of integers and units of times need not agree.
    """
    have: Any = None
    codes: Any = None
    for ours, theirs in zip(events.entities.columns, entity.columns):
        first, second = plain(ours), plain(theirs)
        if first.type != second.type:
            first, second = _alike(first, second)
        distinct = pc.unique(first)
        left = pc.index_in(first, value_set=distinct).fill_null(-1).to_numpy().astype(np.int64)
        right = pc.index_in(second, value_set=distinct, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)
        if have is None:
            have, codes = left, right
        else:
            # Only pairs that occur get a number, so that the product of the columns cannot overflow.
            pairs, have = np.unique(have * len(distinct) + left, return_inverse=True)
            wanted = codes * len(distinct) + right
            codes = _places(pairs, wanted, (codes >= 0) & (right >= 0))
    if have is None or not len(have):
        return np.full(entity.num_rows, -1, dtype=np.int32)
    back = np.empty(len(have), dtype=np.int32)
    back[have] = np.arange(len(have), dtype=np.int32)
    return np.where(codes >= 0, back[codes], np.int32(-1)).astype(np.int32)


def _places(among: Any, values: Any, valid: Any) -> Any:
    """Place of each value in a sorted array; -1 where it is not there."""
    if not len(among):
        return np.full(len(values), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return np.where(valid & (among[at] == values), at, -1)


def _alike(first: pa.Array, second: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Two plain arrays in one type; values that the other type cannot hold become null."""
    if pa.types.is_uint64(first.type) or pa.types.is_uint64(second.type):
        wide = pa.decimal128(20, 0)
        return first.cast(wide), second.cast(wide)
    if pa.types.is_decimal(first.type) and pa.types.is_decimal(second.type):
        scale = max(first.type.scale, second.type.scale)
        wide = pa.decimal256(76, scale)
        return first.cast(wide), second.cast(wide)
    return first, second.cast(first.type)


class _Asked(NamedTuple):
    """The events that one rule is about, as if there were no others; all arrays are of these.

    Attributes:
        place: Their rows in the `Events`; None: they are all its rows.
        start, end: ``int64[examples]``: the example's entity and type are ``[start, end)``.
    """

    place: Any | None
    start: Any
    end: Any
    time_us: Any
    seen_us: Any | None
    until_us: Any | None


def select(
    events: Events,
    rules: Sequence[Rule],
    entity_code: Any,
    as_of_us: Any,
    *,
    strict: bool = True,
    gap_us: int = 0,
    end: bool = False,
) -> list[Selection]:
    """What each rule selects for each example, by binary search.

    An event is visible when its time is before the cutoff ``as_of - gap`` (or at it, when not `strict`), not older than
    ``cutoff - within``, known before ``as_of`` (the gap does not count here), not yet replaced by a later copy that was
    known by then, and holds the rule's condition. Of the visible ones the newest `last` are selected.

    Args:
        entity_code: ``int32[examples]``, places in ``events.entities``; -1 selects nothing.
        as_of_us: ``int64[examples]``.
        gap_us: From 0.
        end: Every example gets the final history: all events that no later copy replaced; `within` does not count.

    Returns:
        One a rule.
    """
    code, moment = np.asarray(entity_code), np.asarray(as_of_us, dtype=np.int64)
    runs = _runs(events)
    return [_one(events, runs, rule, code, moment, strict, gap_us, end) for rule in rules]


def part(selection: Selection, examples: Any) -> Selection:
    """The selection of some examples.

    Args:
        examples: Integers, places of the examples.
    """
    at = selection.skipped_at
    counts = (at[1:] - at[:-1])[examples]
    skipped_at = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=skipped_at[1:])
    rows = np.arange(skipped_at[-1]) + np.repeat(at[:-1][examples] - skipped_at[:-1], counts)
    lo, hi = selection.lo[examples], selection.hi[examples]
    shown = (each[examples] for each in selection[4:])
    return Selection(lo, hi, skipped_at, selection.skipped[rows], *shown)


def _runs(events: Events) -> tuple[Any, Any, Any]:
    """Where each run of one entity and type begins, its type, and the first run of each entity (and one behind)."""
    new = np.ones(len(events.entity), dtype=bool)
    new[1:] = (events.entity[1:] != events.entity[:-1]) | (events.type[1:] != events.type[:-1])
    start = np.flatnonzero(new)
    first = np.searchsorted(events.entity[start], np.arange(events.entities.num_rows + 1))
    return np.append(start, len(events.entity)), events.type[start], first


def _bounds(runs: tuple[Any, Any, Any], kind: int, code: Any) -> tuple[Any, Any]:
    """Rows of each example's entity and of one type."""
    start, types, first = runs
    known = np.flatnonzero((code >= 0) & (kind >= 0)) if len(types) else np.empty(0, np.int64)
    low, high = np.zeros((2, len(code)), dtype=np.int64)
    at = _bisect(types, first[code[known]], first[code[known] + 1], np.full(len(known), kind, types.dtype), False)
    there = (at < first[code[known] + 1]) & (types[np.minimum(at, len(types) - 1)] == kind)
    low[known[there]], high[known[there]] = start[at[there]], start[at[there] + 1]
    return low, high


def _bisect(values: Any, low: Any, high: Any, wanted: Any, right: bool) -> Any:
    """For each question the first place in ``[low, high)`` whose value is not less (`right`: is greater)."""
    low, high = low.astype(np.int64), high.astype(np.int64)
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) >> 1
        below = values[middle] <= wanted[open_] if right else values[middle] < wanted[open_]
        low[open_[below]] = middle[below] + 1
        high[open_[~below]] = middle[~below]
        open_ = open_[low[open_] < high[open_]]
    return low


def _asked(events: Events, runs: tuple[Any, Any, Any], rule: Rule, code: Any) -> _Asked:
    start, end = _bounds(runs, rule.type, code)
    seen, until = events.seen_us, events.until_us
    if rule.bit is None or events.passes is None:
        return _Asked(None, start, end, events.time_us, seen, until)
    holds = (events.passes >> np.int64(rule.bit)) & np.int64(1) != 0
    before = np.zeros(len(holds) + 1, dtype=np.int64)
    np.cumsum(holds, out=before[1:])
    place = np.flatnonzero(holds)
    some = [None if each is None else each[place] for each in (events.time_us, seen, until)]
    return _Asked(place, before[start], before[end], *some)


def _one(
    events: Events,
    runs: tuple[Any, Any, Any],
    rule: Rule,
    code: Any,
    moment: Any,
    strict: bool,
    gap_us: int,
    end: bool,
) -> Selection:
    asked = _asked(events, runs, rule, code)
    if end:
        low = asked.start
        cut = high = asked.end
        owner, hidden = _replaced(asked, low, high, None, strict)
        unseen = np.zeros(len(code), dtype=np.int64)
    else:
        # Below the least moment there is nothing; a saturated cutoff must not let in events at that moment.
        over = moment < _LEAST + gap_us
        cutoff = np.where(over, _LEAST, moment - np.where(over, 0, gap_us))
        cut = np.where(over, asked.start, _bisect(asked.time_us, asked.start, asked.end, cutoff, not strict))
        low = asked.start
        if rule.within_us is not None:
            deep = cutoff < _LEAST + rule.within_us
            oldest = np.where(deep, _LEAST, cutoff - np.where(deep, 0, rule.within_us))
            low = np.minimum(_bisect(asked.time_us, asked.start, asked.end, oldest, False), cut)
        high, owner, hidden, unseen = _known(asked, low, cut, moment, strict)
    return _selection(asked, rule.last, low, high, owner, hidden, (asked.end - cut, unseen))


def _known(asked: _Asked, low: Any, cut: Any, moment: Any, strict: bool) -> tuple[Any, Any, Any, Any]:
    """Of the rows ``[low, cut)`` the end of those known by then, the hidden ones before it, how many are unknown."""
    if asked.seen_us is None:
        owner, hidden = _replaced(asked, low, cut, moment, strict)
        return cut, owner, hidden, np.zeros(len(low), dtype=np.int64)
    which, rows = _expanded(low, cut)
    seen, asker = asked.seen_us[rows], moment[which]
    unknown = seen >= asker if strict else seen > asker
    unseen = np.bincount(which[unknown], minlength=len(low))
    if asked.until_us is not None:
        until = asked.until_us[rows]
        gone = (until < asker if strict else until <= asker) & (until != NEVER)
        unknown |= gone
    return cut, which[unknown], rows[unknown], unseen


def _replaced(asked: _Asked, low: Any, high: Any, moment: Any | None, strict: bool) -> tuple[Any, Any]:
    """Rows of ``[low, high)`` that a later copy had replaced by the moment (None: ever), with their examples."""
    if asked.until_us is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    which, rows = _expanded(low, high)
    until = asked.until_us[rows]
    gone = until != NEVER
    if moment is not None:
        gone &= until < moment[which] if strict else until <= moment[which]
    return which[gone], rows[gone]


def _expanded(low: Any, high: Any) -> tuple[Any, Any]:
    """Every row of every range, and its example."""
    counts = np.maximum(high - low, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) + np.repeat(low - (np.cumsum(counts) - counts), counts)


def _selection(
    asked: _Asked, last: int, low: Any, high: Any, owner: Any, hidden: Any, shown: tuple[Any, Any]
) -> Selection:
    """The newest `last` rows of ``[low, high)`` that are not hidden.

    Args:
        owner, hidden: The hidden rows of each example, ascending by both.
    """
    examples = len(low)
    hides = np.bincount(owner, minlength=examples)
    visible = high - low - hides
    take = np.minimum(visible, last)
    some = take > 0
    first = np.cumsum(hides) - hides
    # Rows visible behind each hidden one: those behind it less the hidden ones among them.
    behind = (high[owner] - 1 - hidden) - (first[owner] + hides[owner] - 1 - np.arange(len(hidden)))
    newer = np.bincount(owner[behind < take[owner]], minlength=examples)
    trailing = np.bincount(owner[behind == 0], minlength=examples)
    lo = np.where(some, high - take - newer, 0)
    hi = np.where(some, high - trailing, 0)
    inside = (hidden > lo[owner]) & (hidden < hi[owner])
    skipped, of = hidden[inside], owner[inside]
    if asked.place is not None and len(asked.place):
        place = asked.place
        lo = np.where(some, place[np.minimum(lo, len(place) - 1)], 0)
        hi = np.where(some, place[hi - 1] + 1, 0)
        skipped, of = _gaps(place, lo, hi, place[skipped], of)
    skipped_at = np.zeros(examples + 1, dtype=np.int64)
    np.cumsum(np.bincount(of, minlength=examples), out=skipped_at[1:])
    return Selection(lo, hi, skipped_at, skipped, visible, *shown)


def _gaps(place: Any, lo: Any, hi: Any, skipped: Any, of: Any) -> tuple[Any, Any]:
    """The skipped rows, and all others of the ranges that the rule is not about; ascending for each example."""
    which, rows = _expanded(lo, hi)
    other = place[np.minimum(np.searchsorted(place, rows), len(place) - 1)] != rows
    rows, which = np.concatenate([rows[other], skipped]), np.concatenate([which[other], of])
    order = np.lexsort((rows, which))
    return rows[order], which[order]
