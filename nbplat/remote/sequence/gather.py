"""From selections to the rows themselves: expanded, merged, cut to length, turned, taken as lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from .accelerate import compiled
from .events import Events, Selection
from .packed_sort import sort_runs

__all__ = ["Mixing", "Ragged", "cut", "expand", "flat", "lists", "merge", "mixing", "turned"]


class Ragged(NamedTuple):
    """A list of rows for each example.

    Attributes:
        positions: ``int64[...]``, rows of the `Events`.
        offsets: ``int64[examples + 1]`` into `positions`; an empty list where an example has nothing.
    """

    positions: Any
    offsets: Any


class Mixing(NamedTuple):
    """The order of events of all types together: entity, time, type, place.

    Attributes:
        rank: ``int32[rows]`` (int64 for more than 2**31 rows): each row's place in it.
        row: The same the other way: the row at each place.
    """

    rank: Any
    row: Any


def mixing(events: Events) -> Mixing:
    """Sort once what several calls of `flat` merge by."""
    count = len(events.time_us)
    kind = np.int32 if count < 1 << 31 else np.int64
    if not count:
        return Mixing(np.empty(0, kind), np.empty(0, kind))
    # An entity's types are runs by time; rows of one time are by type and place already, and stay so.
    row = sort_runs([events.entity, events.time_us])
    row = row.astype(kind)
    rank = np.empty_like(row)
    rank[row] = np.arange(count, dtype=kind)
    return Mixing(rank, row)


def flat(
    events: Events,
    selections: Sequence[Selection],
    *,
    mixed: Mixing | None = None,
    order: str = "newest_first",
    limit: int | None = None,
    truncate: str = "oldest",
) -> Ragged:
    """The rows of each example in the order a model reads them; several selections are merged by time.

    Args:
        selections: At least one; those of different types are merged by time, then type name, then place.
        mixed: Of `mixing`; worth its price when many examples or several calls are merged. The result is the same.
        order: ``newest_first`` or ``oldest_first``.
        limit: How many rows at most; None: all.
        truncate: Which go beyond that: ``oldest`` or ``newest``.
    """
    merged = merge(events, [expand(each) for each in selections], mixed)
    if limit is not None:
        merged = cut(merged, limit, truncate)
    return turned(merged) if order == "newest_first" else merged


def expand(selection: Selection) -> Ragged:
    """The rows that are selected, oldest first."""
    counts = selection.hi - selection.lo
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    rows = np.arange(offsets[-1]) + np.repeat(selection.lo - offsets[:-1], counts)
    if len(selection.skipped):
        skips = np.diff(selection.skipped_at)
        at = selection.skipped + np.repeat(offsets[:-1] - selection.lo, skips)
        stay = np.ones(len(rows), dtype=bool)
        stay[at] = False
        offsets[1:] -= np.cumsum(skips)
        rows = rows[stay]
    return Ragged(rows if selection.among is None else selection.among[rows], offsets)


def merge(events: Events, parts: Sequence[Ragged], mixed: Mixing | None = None) -> Ragged:
    """Several lists an example as one: by time, then type, then place, oldest first."""
    if len(parts) == 1:
        return parts[0]
    counts = sum(np.diff(part.offsets) for part in parts)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    rows = np.concatenate([part.positions for part in parts])
    loop = None if mixed is None else compiled("merge", len(rows))
    if loop is not None and mixed is not None:
        sizes = [0, *(len(part.positions) for part in parts[:-1])]
        begins = np.stack([part.offsets + base for part, base in zip(parts, np.cumsum(sizes))])
        found = np.empty_like(rows)
        loop(rows, begins, mixed.rank, found)
        return Ragged(found, offsets)
    example = np.concatenate([np.repeat(np.arange(len(counts)), np.diff(part.offsets)) for part in parts])
    if mixed is None:
        order = np.lexsort((rows, events.time_us[rows], example))
        return Ragged(rows[order], offsets)
    bits = len(mixed.row).bit_length()
    kind: Any = np.uint32 if bits + len(counts).bit_length() <= 32 else np.uint64
    keys = (example.astype(kind) << kind(bits)) | mixed.rank[rows].astype(kind)
    # Each part is one run by example and rank: numpy's stable sort of wide integers merges runs.
    keys.sort(kind="stable")
    return Ragged(mixed.row[keys & kind((1 << bits) - 1)].astype(np.int64), offsets)


def cut(ragged: Ragged, limit: int, truncate: str = "oldest") -> Ragged:
    """At most `limit` rows an example, of lists that are oldest first."""
    counts = np.diff(ragged.offsets)
    kept = np.minimum(counts, limit)
    if bool((kept == counts).all()):
        return ragged
    first = ragged.offsets[:-1] + (counts - kept if truncate == "oldest" else 0)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(kept, out=offsets[1:])
    return Ragged(ragged.positions[np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], kept)], offsets)


def turned(ragged: Ragged) -> Ragged:
    """Each list the other way round."""
    offsets = ragged.offsets
    # Place p of a list [a, b) takes a + b - 1 - p.
    mirror = np.repeat(offsets[:-1] + offsets[1:] - 1, np.diff(offsets)) - np.arange(offsets[-1])
    return Ragged(ragged.positions[mirror], offsets)


def lists(values: Any, positions: Any, offsets: Any) -> pa.LargeListArray:
    """A column's values as a list an example.

    Args:
        values: Array or chunked array, a value an event.
        positions: Rows of `values`.
        offsets: ``int64[examples + 1]`` into `positions`.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    taken = values.take(pa.array(positions))
    if isinstance(taken, pa.ChunkedArray):
        taken = pa.concat_arrays(taken.chunks) if taken.num_chunks else pa.array([], taken.type)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), taken)
