"""A column of events as numbers a model reads: ids, ages, plain numbers, vectors; a number or a vector a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .hashing import row_hash

__all__ = [
    "FIRST_ID",
    "PAD_ID",
    "UNIT_US",
    "UNKNOWN_ID",
    "ages",
    "bucket_ids",
    "count_values",
    "freeze",
    "hash_ids",
    "merge_counts",
    "numbers",
    "quantile_edges",
    "vectors",
    "vocab_ids",
]

PAD_ID, UNKNOWN_ID, FIRST_ID = 0, 1, 2
"""Of ids: what fills up, what is null or not in the vocabulary, the first value."""

UNIT_US = {"s": 1_000_000, "ms": 1_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}

# Counters that one pass over the values may use, 8 bytes each.
_COUNTERS_LOG2 = 20
_MIX = 0x9E3779B97F4A7C15


# -- vocabularies ----------------------------------------------------------------------------------


def count_values(column: Any) -> pa.Table:
    """Distinct values and how often each occurs, ``value`` and ``count`` (int64), in any order; nulls do not count.

    Values are int64, float64, bool or large_string: integers, floats, truth values, and the texts of all else.
    """
    counted = pc.value_counts(_plain(column).drop_null())
    return pa.table({"value": counted.field("values"), "count": counted.field("counts").cast(pa.int64())})


def merge_counts(parts: Iterable[pa.Table]) -> pa.Table:
    """Add up what `count_values` gave of several parts; there is at least one."""
    table = pa.concat_tables(parts)
    merged = table.group_by("value").aggregate([("count", "sum")])
    return pa.table({"value": merged["value"], "count": merged["count_sum"]})


def freeze(counts: pa.Table, min_count: int = 1, max_size: int | None = None) -> pa.Table:
    """The values that get an id, in the order of ids: by count, most frequent first, then by value.

    Args:
        counts: As `count_values` gives them.
        min_count: Values that occur less often are left out.
        max_size: At most so many; None: no limit.

    Returns:
        ``value`` and ``count``; the value of row i has the id ``FIRST_ID + i``. Texts are compared by their UTF-8
        bytes, numbers by value.
    """
    kept = counts.filter(pc.greater_equal(counts["count"], min_count)).combine_chunks()
    values = kept["value"]
    by_bytes = values.cast(pa.large_binary()) if pa.types.is_large_string(values.type) else values
    if pa.types.is_boolean(values.type):
        by_bytes = values.cast(pa.int8())
    keyed = pa.table({"count": kept["count"], "value": by_bytes})
    order = pc.sort_indices(keyed, sort_keys=[("count", "descending"), ("value", "ascending")])
    return kept.take(order if max_size is None else order[:max_size]).combine_chunks()


def vocab_ids(column: Any, values: Any) -> Any:
    """Ids of a frozen vocabulary, ``int32[rows]``: null and unknown values get ``UNKNOWN_ID``.

    Args:
        values: Values in the order of their ids; no duplicates and no nulls.
    """
    values = _plain(values)
    column = _plain(column)
    if column.type != values.type:
        column = column.cast(values.type)
    place = pc.index_in(column, value_set=values, skip_nulls=True)
    return np.asarray(pc.fill_null(place, UNKNOWN_ID - FIRST_ID)).astype(np.int32, copy=False) + np.int32(FIRST_ID)


def hash_ids(column: Any, buckets: int, seed: int = 0) -> Any:
    """Ids from 1 to `buckets`, ``int32[rows]``, the same on every machine; null has one of them, 0 is padding.

    Equal values have equal ids whatever their width or encoding: 5 as int32 and as int64.
    """
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    mixed = row_hash(pa.table({"value": column})) ^ np.uint64(seed * _MIX & 0xFFFFFFFFFFFFFFFF)
    # One round of splitmix64: neighbouring seeds must not give neighbouring ids.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(buckets)).astype(np.int32) + np.int32(1)


# -- numbers ---------------------------------------------------------------------------------------


def ages(at_us: Any, time_us: Any, unit: str = "s", *, log: bool = False) -> Any:
    """Age of each event at its as-of instant, ``float32[rows]`` in `unit`; with `log` ``log(1 + age)``.

    An event after the instant, which only a leaking definition lets in, has a negative age; its logarithm is taken of
    the distance and is negative as well.
    """
    age = (at_us - time_us) / UNIT_US[unit]
    if log:
        return np.copysign(np.log1p(np.abs(age)), age).astype(np.float32)
    return age.astype(np.float32)


def bucket_ids(column: Any, edges: Any) -> Any:
    """Interval of each number, ``int32[rows]``: null and NaN ``UNKNOWN_ID``, below the first edge ``FIRST_ID``.

    A number at an edge belongs above it: with the edges 0 and 10, ids are 2 below 0, 3 for ``0 <= x < 10``, 4 from 10.

    Args:
        edges: Ascending; of times: microseconds since 1970 UTC.
    """
    values = _doubles(column)
    ids = np.searchsorted(np.asarray(edges, np.float64), values, side="right").astype(np.int32) + np.int32(FIRST_ID)
    ids[np.isnan(values)] = UNKNOWN_ID
    return ids


def numbers(column: Any, kind: str = "float32", fill: float = 0.0) -> Any:
    """Plain numbers of the type `kind`, ``[rows]``; nulls and NaN become `fill`.

    Raises:
        KernelError: ``sequence.number``, values that an integer type cannot hold; counts them and shows one.
    """
    column = _contiguous(column)
    if kind.startswith("float"):
        values = _doubles(column)
        values[np.isnan(values)] = fill
        return values.astype(kind)
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        exact = np.asarray(pc.fill_null(column.cast(pa.int64()), int(fill)))
        info = np.iinfo(kind)
        bad = (exact < info.min) | (exact > info.max)
        values = exact
    else:
        values = _doubles(column)
        values[np.isnan(values)] = fill
        with np.errstate(invalid="ignore"):
            # 2**63 is the first double past int64.
            bad = ~((values >= np.iinfo(kind).min) & (values < float(np.iinfo(kind).max) + 1) & (values % 1 == 0))
            if kind == "int32":
                bad |= values > np.iinfo(kind).max
    if bad.any():
        raise KernelError(
            "sequence.number",
            f"{int(bad.sum())} values do not fit {kind}, e.g. {values[bad][0]}",
            fix="declare the feature as float32 or float64, or as another integer type",
        )
    return values.astype(kind)


def quantile_edges(read: Callable[[], Iterable[Any]], count: int) -> Any:
    """Edges that cut the values of a column into `count` parts of equal size, ``float64[at most count - 1]``.

    The j-th edge is the value at place ``j * rows // count`` of the sorted values (from 0), equal edges are one.
    Exact, and independent of the order of rows and parts: the values are counted by a few bits of their order at a
    time, so that any number of rows needs the same small memory; they are read four times for up to 16 parts, eight
    times for 10,000.

    Args:
        read: Gives the column in parts, afresh at every call; nulls and NaN do not count.

    Returns:
        Ascending; empty when there are no values.
    """
    total = 0
    ranks: Any = None
    # Each rank's digits so far; ranks that share them are counted together.
    prefix = np.zeros(0, np.uint64)
    shift = 64
    while shift:
        groups, group_of = np.unique(prefix, return_inverse=True)
        bits = min(16, _COUNTERS_LOG2 - len(groups).bit_length(), shift)
        shift -= bits
        counts = np.zeros((max(len(groups), 1), 1 << bits), np.int64)
        for part in read():
            _count_digits(counts, groups, _sortable(part), bits, shift)
        if ranks is None:
            total = int(counts.sum())
            if not total:
                return np.empty(0)
            ranks = np.array(sorted({j * total // count for j in range(1, count)}), np.int64)
            prefix, group_of = np.zeros(len(ranks), np.uint64), np.zeros(len(ranks), np.int64)
        below = np.cumsum(counts, axis=1)
        digit = np.array([np.searchsorted(below[g], r, side="right") for g, r in zip(group_of, ranks)], np.int64)
        ranks = ranks - np.where(digit > 0, below[group_of, np.maximum(digit - 1, 0)], 0)
        prefix = (prefix << np.uint64(bits)) | digit.astype(np.uint64)
    return np.unique(_from_sortable(prefix))


def vectors(column: Any, size: int | None = None) -> Any:
    """Lists of numbers as ``float32[rows, size]``; a null list is all zeros.

    Args:
        size: Of every list; None: as long as the first one.

    Raises:
        KernelError: ``sequence.embedding``, lists of another length, or with nulls inside; counts them.
    """
    column = _contiguous(column)
    present = np.asarray(pc.is_valid(column))
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.where(present, column.type.list_size, 0)
    else:
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    if size is None:
        size = int(lengths[present][0]) if present.any() else 0
    bad = present & (lengths != size)
    flat = pc.list_flatten(column)
    if bad.any() or flat.null_count:
        what = f"of length {int(lengths[bad][0])}" if bad.any() else "with nulls inside"
        raise KernelError(
            "sequence.embedding",
            f"{int(bad.sum()) or flat.null_count} vectors are not {size} numbers long, e.g. one {what}",
            fix="write the size that the column has: embedding(column, size=…), and mend the rows that differ",
        )
    values = np.asarray(flat.cast(pa.float32())).reshape(-1, size)
    if present.all():
        return values
    found = np.zeros((len(column), size), np.float32)
    found[present] = values
    return found


# -- shapes of columns -----------------------------------------------------------------------------


def _contiguous(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _plain(column: Any) -> pa.Array:
    """As vocabularies compare values: int64, float64, bool, and all else by its text."""
    column = _contiguous(column)
    kind = column.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    return column if pa.types.is_boolean(kind) else column.cast(pa.large_string())


def _doubles(column: Any) -> Any:
    """``float64[rows]``, its own copy, NaN for null; times as microseconds since 1970 UTC."""
    column = _contiguous(column)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    column = column.cast(pa.float64(), safe=False)
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _sortable(column: Any) -> Any:
    """Doubles as unsigned integers of the same order, NaN and null left out; -0.0 is 0.0."""
    values = _doubles(column)
    values = values[~np.isnan(values)] + 0.0
    bits = values.view(np.int64)
    return (bits ^ ((bits >> 63) | np.int64(-(1 << 63)))).view(np.uint64)


def _from_sortable(keys: Any) -> Any:
    negative = keys < np.uint64(1 << 63)
    bits = np.where(negative, ~keys, keys ^ np.uint64(1 << 63))
    return bits.view(np.float64)


def _count_digits(counts: Any, groups: Any, keys: Any, bits: int, shift: int) -> None:
    """Count the next `bits` of the keys whose bits so far are one of `groups`; without groups of all keys."""
    digit = ((keys >> np.uint64(shift)) & np.uint64((1 << bits) - 1)).astype(np.int64)
    if len(groups):
        so_far = keys >> np.uint64(shift + bits)
        place = np.minimum(np.searchsorted(groups, so_far), len(groups) - 1)
        inside = groups[place] == so_far
        digit = place[inside] * counts.shape[1] + digit[inside]
    counts += np.bincount(digit, minlength=counts.size).reshape(counts.shape)
