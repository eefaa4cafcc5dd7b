"""How two sets of events differ: which are gone, which have come, and which are the same event with other fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from .among import among
from .hashing import row_hash
from .stored_rows import BUCKET, TIME, TYPE

__all__ = ["Difference", "changed_fields", "difference", "identity_of"]


class Difference(NamedTuple):
    """Rows that are on one side only.

    Attributes:
        gone: ``int64[...]``, rows of the old side without an equal one on the new side, ascending.
        come: ``int64[...]``, rows of the new side without an equal one on the old side, ascending.
        was, now: ``int64[changed]``: rows of `gone` and of `come` that are one event with other fields, pair by pair.
    """

    gone: Any
    come: Any
    was: Any
    now: Any


def difference(old: pa.Table, new: pa.Table, entity: Sequence[str], id: Sequence[str]) -> Difference:
    """Compare rows of the index table with what they should be; the order of rows does not count.

    Equal rows are equal in every column by their logical values; of several equal ones as many are matched as both
    sides have. An event is the same when entity, type and id are; without an id, or where it is null, when entity,
    type and time are. Of several with one identity those that differ are paired in their order.

    Args:
        old, new: With the same columns.
    """
    columns = [name for name in old.column_names if name != BUCKET]
    mine, theirs = row_hash(old.select(columns)), row_hash(new.select(columns))
    gone, come = _unmatched(mine, theirs)
    one, other = old.select(columns).take(pa.array(gone)), new.select(columns).take(pa.array(come))
    was, now = _matched(identity_of(one, entity, id), identity_of(other, entity, id))
    return Difference(gone, come, gone[was], come[now])


def identity_of(rows: pa.Table, entity: Sequence[str], id: Sequence[str]) -> Any:
    """``uint64[rows]``, equal for rows that are one event."""
    by_time = row_hash(rows.select([*entity, TYPE, TIME]))
    if not id:
        return by_time
    # Another seed than by time, so that an id that looks like a time is none.
    by_id = row_hash(rows.select([*id, *entity, TYPE]))
    whole = np.ones(rows.num_rows, bool)
    for name in id:
        whole &= rows.column(name).is_valid().to_numpy()
    return np.where(whole, by_id, by_time)


def changed_fields(old: pa.Table, new: pa.Table, found: Difference) -> dict[str, Any]:
    """Which columns differ in each changed pair: column -> ``bool[changed]``; those that never differ are left out."""
    was, now = pa.array(found.was), pa.array(found.now)
    fields = {}
    for name in old.column_names:
        if name != BUCKET:
            differs = row_hash(old.select([name]).take(was)) != row_hash(new.select([name]).take(now))
            if differs.any():
                fields[name] = differs
    return fields


def _unmatched(mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Places of values that are left on each side when equal ones are taken away in pairs."""
    left, right = _numbered(mine), _numbered(theirs)
    # Sorted questions find their neighbours' places; what is on one side only is mostly little.
    ours, others = np.sort(left), np.sort(right)
    here, there = ours[~among(ours, others)], others[~among(others, ours)]
    return np.flatnonzero(among(left, here)), np.flatnonzero(among(right, there))


def _matched(mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Places of equal values, pair by pair; the n-th of several equal ones goes with the n-th of the other side."""
    left, right = _numbered(mine), _numbered(theirs)
    order = np.argsort(right)
    if not len(order):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place = np.minimum(np.searchsorted(right, left, sorter=order), len(order) - 1)
    found = right[order[place]] == left
    return np.flatnonzero(found), order[place[found]]


def _numbered(keys: Any) -> Any:
    """Each key together with how many equal ones stand before it, as one ``uint64``."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.ones(len(keys), bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(begins)
    place = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    number = np.empty(len(keys), np.int64)
    number[order] = place
    found = keys.copy()
    again = np.flatnonzero(number)
    if len(again):
        both = pa.table({"key": pa.array(keys[again], pa.uint64()), "number": pa.array(number[again])})
        found[again] = row_hash(both)
    return found
