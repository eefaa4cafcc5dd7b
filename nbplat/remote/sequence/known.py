"""What was known at a moment: of a range of events by time, those that had arrived and were not replaced yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .accelerate import compiled
from .dedupe import NEVER

__all__ = ["Clocks", "Known", "bisect", "clocks", "known", "spread"]

# Doubtful events that are looked at together.
_AT_ONCE = 1 << 22


class Clocks(NamedTuple):
    """When the events of some runs were known; a run is one entity and type, its events by time.

    Most events arrive in the order in which they happened. They need no look one by one: `least` says from where on
    nothing was known. The others are suspects.

    Attributes:
        seen, until: ``int64[events]``; `until` is None when no event has copies.
        least: ``int64[events]``: the least `seen` of the event and those behind it in its run; ascends in a run.
        suspects: ``int64[...]``, ascending: events of which a later one was known before, or which a copy replaces.
        peak: ``int64[suspects]``: the largest `seen` of the suspect and those before it in its run, `NEVER` from the
            first replaced one on; ascends in a run.
    """

    seen: Any
    until: Any | None
    least: Any
    suspects: Any
    peak: Any


class Known(NamedTuple):
    """What was known of each range.

    Attributes:
        end: ``int64[ranges]``: nothing at or behind it was known.
        owner, hidden: Ranges, and events in them before `end` that are not visible; ascending by both.
        unseen: ``int64[ranges]``: events of the range that were not known.
    """

    end: Any
    owner: Any
    hidden: Any
    unseen: Any


def clocks(run: Any, seen: Any, until: Any | None) -> Clocks:
    """Prepare some events.

    Args:
        run: ``int32[events]``, ascending.
        seen, until: ``int64[events]``.
    """
    least = _running(run[::-1], seen[::-1], np.minimum)[::-1] if len(seen) else seen
    doubtful = seen > least
    if until is not None:
        doubtful |= until != NEVER
    suspects = np.flatnonzero(doubtful)
    height = seen[suspects]
    if until is not None:
        height = np.where(until[suspects] != NEVER, NEVER, height)
    peak = _running(run[suspects], height, np.maximum) if len(suspects) else height
    return Clocks(seen, until, least, suspects, peak)


def known(clocks: Clocks, low: Any, high: Any, moment: Any, strict: bool) -> Known:
    """Of each range ``[low, high)``, within one run, what was known at its moment.

    Args:
        moment: ``int64[ranges]``.
        strict: True: known is what was seen before the moment; False: at the moment as well. The same for what
            replaces a copy.
    """
    end = bisect(clocks.least, low, high, moment, not strict)
    unseen = high - end
    suspects = clocks.suspects
    if not len(suspects):
        return Known(end, np.empty(0, np.int64), np.empty(0, np.int64), unseen)
    first, last = np.searchsorted(suspects, low), np.searchsorted(suspects, end)
    # Suspects before the first that could be hidden at this moment are all visible.
    from_ = bisect(clocks.peak, first, last, moment, not strict)
    if clocks.until is not None:
        from_ = np.where(moment == NEVER, first, from_)
    owners, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for which, place in spread(from_, last):
        event, asker = suspects[place], moment[which]
        seen = clocks.seen[event]
        hidden = unknown = seen >= asker if strict else seen > asker
        unseen += np.bincount(which[unknown], minlength=len(low))
        if clocks.until is not None:
            until = clocks.until[event]
            hidden = unknown | ((until < asker if strict else until <= asker) & (until != NEVER))
        owners.append(which[hidden])
        rows.append(event[hidden])
    return Known(end, np.concatenate(owners), np.concatenate(rows), unseen)


def bisect(values: Any, low: Any, high: Any, wanted: Any, right: bool) -> Any:
    """For each question the first place in ``[low, high)`` whose value is not less (`right`: is greater); else `high`.

    Args:
        values: Ascending in each range.
        low, high: ``int64[questions]``, ``low <= high``.
        wanted: ``[questions]``.
    """
    low, high = low.astype(np.int64), high.astype(np.int64)
    loop = compiled("bisect", len(low))
    if loop is not None:
        loop(values, low, high, wanted, right, low)
        return low
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) >> 1
        below = values[middle] <= wanted[open_] if right else values[middle] < wanted[open_]
        low[open_[below]] = middle[below] + 1
        high[open_[~below]] = middle[~below]
        open_ = open_[low[open_] < high[open_]]
    return low


def spread(low: Any, high: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of every range with the number of its range, some ranges at a time."""
    counts = np.maximum(high - low, 0)
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    at = 0
    while at < len(some):
        to = max(at + 1, int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _AT_ONCE)))
        which = np.repeat(some[at:to], counts[some[at:to]])
        begins = ends[at:to] - counts[some[at:to]] - (ends[at - 1] if at else 0)
        yield which, np.arange(len(which)) + np.repeat(low[some[at:to]] - begins, counts[some[at:to]])
        at = to


def _running(run: Any, values: Any, of: Any) -> Any:
    """Running minimum or maximum that begins anew with each run.

    Args:
        run: Ascending for a maximum, descending for a minimum: then the run's number as the high bits of the value
            begins it anew.
    """
    low, high = int(values.min()), int(values.max())
    bits = (high - low).bit_length()
    if bits + int(run.max()).bit_length() > 63:
        moments, place = np.unique(values, return_inverse=True)
        return moments[_running(run, place, of)]
    keys = (run.astype(np.int64) << np.int64(bits)) | (values - low)
    return (of.accumulate(keys) & np.int64((1 << bits) - 1)) + low
