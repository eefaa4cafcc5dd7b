"""Copies of one event: which stay, and until when each of several is the one that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .hashing import row_hash
from .rank import rank

__all__ = ["NEVER", "copies", "first_or_last"]

NEVER = np.iinfo(np.int64).max
"""The moment that does not come."""


def copies(rows: pa.Table, entity: Sequence[str], code: Any, id: Sequence[str]) -> tuple[Any, Any]:
    """Rows that share entity, type and id with another, and a number for each group of copies.

    A row whose id is null in any column is a copy of none. An id under another entity or of another type is another
    event: a cart and a purchase may share the number of an order.

    Args:
        code: ``int16[rows]``, the types.

    Returns:
        ``int64[...]`` rows, and their groups ``int64[...]``, ascending.
    """
    keyed = rows.select([*entity, *id]).append_column("\0type", pa.array(code))
    hashes = row_hash(keyed)
    whole = np.ones(rows.num_rows, dtype=bool)
    for name in id:
        if rows[name].null_count:
            whole &= rows[name].is_valid().to_numpy()
    ordered = np.sort(hashes)
    doubled = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(doubled):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place = np.minimum(np.searchsorted(doubled, hashes), len(doubled) - 1)
    found = np.flatnonzero((doubled[place] == hashes) & whole)
    few = keyed.take(pa.array(found))
    keys = [rank(few[name], name) for name in few.column_names]
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), dtype=bool)
    for key in keys:
        new[1:] |= key[order][1:] != key[order][:-1]
    group = np.cumsum(new)
    several = np.bincount(group, minlength=1)[group] > 1 if len(group) else np.zeros(0, dtype=bool)
    return found[order][several], group[several]


def first_or_last(
    rows: pa.Table,
    entity: Sequence[str],
    code: Any,
    id: Sequence[str],
    hashed: Sequence[str],
    time_us: Any,
    seen_us: Any | None,
    how: str,
) -> tuple[Any, Any | None]:
    """Which copies stay, and until when.

    Copies follow each other by the moment they were known (without an arrival by time), then by hash. ``first`` keeps
    the first, ``last`` without an arrival the last. ``last`` with an arrival keeps all that were ever the newest
    known: each holds until the next is known.

    Returns:
        ``int64[...]`` rows that go, and ``until_us`` ``int64[rows]`` or None when every event has one copy.
    """
    found, group = copies(rows, entity, code, id)
    if not len(found):
        return found, None
    clock = time_us if seen_us is None else seen_us
    hashes = row_hash(rows.select(list(hashed)).take(pa.array(found)))
    order = np.lexsort((hashes, clock[found], group))
    found, group = found[order], group[order]
    same = group[1:] == group[:-1]
    if how == "first":
        return found[1:][same], None
    if seen_us is None:
        return found[:-1][same], None
    until = np.full(rows.num_rows, NEVER, dtype=np.int64)
    until[found[:-1][same]] = clock[found[1:][same]]
    # A copy that is replaced at the moment it is known is never the one that is known.
    gone = found[:-1][same & (clock[found[:-1]] == clock[found[1:]])]
    left = np.ones(rows.num_rows, dtype=bool)
    left[gone] = False
    return gone, until if bool((until[left] != NEVER).any()) else None
