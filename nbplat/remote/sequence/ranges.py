"""Which events an example may see: for each rule a range of the sorted events, less a few rows inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dedupe import NEVER
from .events import Events, Rule, Selection
from .known import Clocks, Known, bisect, clocks, known, spread
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


class _Held(NamedTuple):
    """The events for which a condition holds, as if there were no others; the arrays are of these.

    Attributes:
        among: Their rows in the `Events`; None: they are all its rows.
        before: ``int64[rows + 1]``: how many of them stand before each row; None: the row itself.
        clocks: None: everything was known when it happened, and there are no copies.
    """

    among: Any | None
    before: Any | None
    time_us: Any
    clocks: Clocks | None


def select(
    events: Events,
    rules: Sequence[Rule],
    entity_code: Any,
    as_of_us: Any,
    *,
    strict: bool = True,
    gap_us: int = 0,
    end: bool = False,
    among: bool = False,
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
        among: Selections with a condition count only the rows for which it holds (`Selection.among`): what it leaves
            out is not written down for each example, which matters where it rarely holds.

    Returns:
        One a rule.
    """
    code, moment = np.asarray(entity_code), np.asarray(as_of_us, dtype=np.int64)
    if events.seen_us is None and events.until_us is not None:
        events = events._replace(seen_us=events.time_us)
    runs = _runs(events)
    # Below the least moment there is nothing; a saturated cutoff must not let in events at that moment.
    over = moment < _LEAST + gap_us
    cutoff = np.where(over, _LEAST, moment - np.where(over, 0, gap_us))
    held: dict[int | None, _Held] = {}
    found = []
    for rule in rules:
        bit = rule.bit if events.passes is not None else None
        if bit not in held:
            held[bit] = _held(events, runs, bit, end)
        mine = held[bit]
        start, stop = _bounds(runs, rule.type, code)
        if mine.before is not None:
            start, stop = mine.before[start], mine.before[stop]
        low, cut = start, stop
        if not end:
            cut = np.where(over, start, bisect(mine.time_us, start, stop, cutoff, not strict))
            if rule.within_us is not None:
                low = _young(mine.time_us, start, cut, cutoff, rule.within_us)
        seen = _all_known(cut) if mine.clocks is None else known(mine.clocks, low, cut, moment, strict)
        selection = _newest(rule.last, low, seen, stop - cut, mine.among)
        found.append(selection if among else _in_rows(selection, mine))
    return found


def part(selection: Selection, examples: Any) -> Selection:
    """The selection of some examples.

    Args:
        examples: Integers, places of the examples.
    """
    at = selection.skipped_at
    counts = (at[1:] - at[:-1])[examples]
    skipped_at = _offsets(counts)
    rows = np.arange(skipped_at[-1]) + np.repeat(at[:-1][examples] - skipped_at[:-1], counts)
    lo, hi = selection.lo[examples], selection.hi[examples]
    before, after, unseen = (each[examples] for each in selection[4:7])
    return Selection(lo, hi, skipped_at, selection.skipped[rows], before, after, unseen, selection.among)


def _runs(events: Events) -> tuple[Any, Any, Any]:
    """Where each run of one entity and type begins (and the end), its type, and each entity's first run (and one)."""
    new = np.ones(len(events.entity), dtype=bool)
    new[1:] = (events.entity[1:] != events.entity[:-1]) | (events.type[1:] != events.type[:-1])
    start = np.flatnonzero(new)
    first = np.searchsorted(events.entity[start], np.arange(events.entities.num_rows + 1))
    return np.append(start, len(events.entity)), events.type[start], first


def _bounds(runs: tuple[Any, Any, Any], kind: int, code: Any) -> tuple[Any, Any]:
    """Rows of each example's entity and of one type; an empty range where there are none."""
    start, types, first = runs
    low, high = np.zeros((2, len(code)), dtype=np.int64)
    known_ = np.flatnonzero((code >= 0) & (kind >= 0)) if len(types) else np.empty(0, np.int64)
    begin, stop = first[code[known_]], first[code[known_] + 1]
    at = bisect(types, begin, stop, np.full(len(known_), kind, types.dtype), False)
    there = at < stop
    there[there] = types[at[there]] == kind
    low[known_[there]], high[known_[there]] = start[at[there]], start[at[there] + 1]
    return low, high


def _held(events: Events, runs: tuple[Any, Any, Any], bit: int | None, end: bool) -> _Held:
    holds = None
    if bit is not None:
        holds = (events.passes >> np.int64(bit)) & np.int64(1) != 0
    if end and events.until_us is not None:
        final = events.until_us == NEVER
        holds = final if holds is None else holds & final
    seen, until = (None, None) if end else (events.seen_us, events.until_us)
    run = None
    if seen is not None:
        run = np.repeat(np.arange(len(runs[1]), dtype=np.int32), np.diff(runs[0]))
    if holds is None:
        return _Held(None, None, events.time_us, None if seen is None else clocks(run, seen, until))
    among = np.flatnonzero(holds)
    before = np.zeros(len(holds) + 1, dtype=np.int64)
    np.cumsum(holds, out=before[1:])
    if seen is None or run is None:
        return _Held(among, before, events.time_us[among], None)
    until = None if until is None else until[among]
    return _Held(among, before, events.time_us[among], clocks(run[among], seen[among], until))


def _young(times: Any, start: Any, cut: Any, cutoff: Any, within_us: int) -> Any:
    """Where events that are not too old begin."""
    deep = cutoff < _LEAST + within_us
    oldest = np.where(deep, _LEAST, cutoff - np.where(deep, 0, within_us))
    return bisect(times, start, cut, oldest, False)


def _all_known(end: Any) -> Known:
    none = np.empty(0, np.int64)
    return Known(end, none, none, np.zeros_like(end))


def _newest(last: int, low: Any, seen: Known, after: Any, among: Any | None) -> Selection:
    """The newest `last` places from `low` on that are visible."""
    high, owner, hidden = seen.end, seen.owner, seen.hidden
    hides = np.bincount(owner, minlength=len(low))
    visible = high - low - hides
    take = np.minimum(visible, last)
    some = take > 0
    # How many visible ones stand behind each hidden one: all behind it less the hidden ones among them.
    ends = np.cumsum(hides)
    behind = (high[owner] - 1 - hidden) - (ends[owner] - 1 - np.arange(len(hidden)))
    newer = np.bincount(owner[behind < take[owner]], minlength=len(low))
    trailing = np.bincount(owner[behind == 0], minlength=len(low))
    lo = np.where(some, high - take - newer, 0)
    hi = np.where(some, high - trailing, 0)
    inside = (hidden > lo[owner]) & (hidden < hi[owner])
    skipped_at = _offsets(np.bincount(owner[inside], minlength=len(low)))
    return Selection(lo, hi, skipped_at, hidden[inside], visible, after, seen.unseen, among)


def _in_rows(selection: Selection, held: _Held) -> Selection:
    """The same selection by rows of the `Events`."""
    if held.among is None or held.before is None or not len(held.among):
        return selection._replace(among=None)
    some = selection.hi > selection.lo
    lo = np.where(some, held.among[np.minimum(selection.lo, len(held.among) - 1)], 0)
    hi = np.where(some, held.among[selection.hi - 1] + 1, 0)
    others = np.flatnonzero(held.before[1:] == held.before[:-1])
    of, place = _all(spread(lo - held.before[lo], hi - held.before[hi]))
    owner = np.repeat(np.arange(len(lo)), np.diff(selection.skipped_at))
    owner, rows = np.concatenate([of, owner]), np.concatenate([others[place], held.among[selection.skipped]])
    order = np.lexsort((rows, owner)) if len(selection.skipped) else slice(None)
    skipped_at = _offsets(np.bincount(owner, minlength=len(lo)))
    return selection._replace(lo=lo, hi=hi, skipped_at=skipped_at, skipped=rows[order], among=None)


def _all(parts: Iterator[tuple[Any, Any]]) -> tuple[Any, Any]:
    none = np.empty(0, np.int64)
    whole = [(none, none), *parts]
    return np.concatenate([each for each, _ in whole]), np.concatenate([each for _, each in whole])


def _offsets(counts: Any) -> Any:
    found = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=found[1:])
    return found
