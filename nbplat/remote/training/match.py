"""Which staged row belongs to which base row, by key: integers where keys allow it, order where it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .places import POOL

__all__ = ["Match", "Numbers", "key_numbers", "match", "refuse_doubled", "shown_keys"]

_SHOWN = 5
_BLOCK_ROWS = 1 << 14


class Match(NamedTuple):
    """Where the rows of the base are among the staged ones.

    Attributes:
        at: ``int64[base rows]``: a staged row, or -1; None when row i belongs to row i throughout.
        null_keys: Base rows whose key holds a null or NaN; they match nothing.
        dropped: Staged rows that were left for a later one of the same key.
    """

    at: Any
    null_keys: int
    dropped: int


class Numbers(NamedTuple):
    """Keys as numbers.

    Attributes:
        values: ``int64[rows]``; equal exactly where the keys are equal.
        void: ``bool[rows]``, True where a key holds a null or NaN; None when there is none.
    """

    values: Any
    void: Any


def match(
    base: pa.Table,
    staged: pa.Table,
    keys: Sequence[str],
    staged_keys: Sequence[str],
    *,
    ref: str,
    unit: str,
    order: str = "",
) -> Match:
    """Find each base row's staged row.

    Args:
        keys, staged_keys: Columns of the two tables, pair by pair of one type (int and long count as one).
        order: Of staged rows with equal keys the one with the greatest value of this column is taken; empty:
            equal keys are an error.

    Raises:
        KernelError: ``training.duplicate_keys``, naming up to five.
    """
    ours, theirs = key_numbers(base, keys, staged, staged_keys)
    rows, columns = theirs.values, staged.select(list(staged_keys))
    if theirs.void is None and bool(np.all(rows[1:] > rows[:-1])):
        if ours.void is None and np.array_equal(rows, ours.values):
            return Match(None, 0, 0)
        chosen, sorted_rows, dropped = None, rows, 0
    else:
        chosen, sorted_rows, dropped = _sorted(staged, theirs, columns, ref, unit, order)
    at = positions(ours, sorted_rows, chosen)
    return Match(at, 0 if ours.void is None else int(ours.void.sum()), dropped)


def positions(ours: Numbers, sorted_rows: Any, chosen: Any = None) -> Any:
    """``int64[ours]``: where each number stands among the sorted ones, or -1.

    Args:
        chosen: Place among the sorted ones -> place wanted; None when they are the same.
    """
    if not len(sorted_rows):
        return np.full(len(ours.values), -1, np.int64)
    if chosen is None and ours.void is None and bool(np.all(ours.values[1:] > ours.values[:-1])):
        return _in_order(ours.values, sorted_rows)
    at = np.searchsorted(sorted_rows, ours.values)
    at[at == len(sorted_rows)] = 0
    missed = sorted_rows[at] != ours.values
    if ours.void is not None:
        missed |= ours.void
    if chosen is not None:
        at = chosen[at]
    at[missed] = -1
    return at


def _in_order(ours: Any, theirs: Any) -> Any:
    """`positions` of numbers that rise on both sides.

    It goes block by block, so that what it works with stays in the processor's cache, and its memory in the process.
    """
    at = POOL.empty(len(ours), np.int64)
    first = int(np.searchsorted(theirs, ours[0])) if len(ours) else 0
    for start in range(0, len(ours), _BLOCK_ROWS):
        block = ours[start : start + _BLOCK_ROWS]
        end = int(np.searchsorted(theirs, block[-1], side="right"))
        at[start : start + len(block)] = _in_block(block, theirs[first:end], first)
        first = end
    return at


def _in_block(ours: Any, theirs: Any, first: int) -> Any:
    at = np.full(len(ours), -1, np.int64)
    both = np.concatenate([theirs, ours])
    # Two runs in order are merged in one pass, which takes a third of as many binary searches.
    both.sort(kind="stable")
    pairs = np.flatnonzero(both[1:] == both[:-1])
    places = np.arange(len(theirs))
    if len(pairs) == len(theirs):
        # All of theirs are among ours: before the k-th pair stand k numbers twice.
        at[pairs - places] = places + first
        return at
    known = np.searchsorted(ours, theirs)
    known[known == len(ours)] = 0
    met = ours[known] == theirs
    at[known[met]] = places[met] + first
    return at


def _sorted(
    staged: pa.Table, theirs: Numbers, columns: pa.Table, ref: str, unit: str, order: str
) -> tuple[Any, Any, int]:
    """Rows with a key in the order of their numbers, each number once; these numbers; how many rows were left out."""
    rows = theirs.values
    kept = np.arange(len(rows)) if theirs.void is None else np.flatnonzero(~theirs.void)
    if order:
        # Nulls first, and equal values in the order of their rows: the sort is stable.
        ranked = pc.array_sort_indices(staged[order].combine_chunks(), null_placement="at_start").to_numpy()
        by = np.empty(len(ranked), np.int64)
        by[ranked] = np.arange(len(ranked))
        places = kept[np.lexsort((by[kept], rows[kept]))]
    else:
        places = kept[np.argsort(rows[kept], kind="stable")]
    numbers = rows[places]
    same = numbers[1:] == numbers[:-1]
    dropped = int(same.sum())
    if dropped and not order:
        doubled = places[1:][same]
        raise refuse_doubled(columns.take(pa.array(doubled[:_SHOWN])), dropped, ref, unit)
    if dropped:
        last = np.append(~same, True)
        places, numbers = places[last], numbers[last]
    return places, numbers, dropped


def refuse_doubled(some: pa.Table, count: int, ref: str, unit: str) -> KernelError:
    """The error for keys that a staged table holds more than once."""
    return KernelError(
        "training.duplicate_keys",
        f"{ref} holds keys more than once: {count} rows too many in {unit}, e.g. {shown_keys(some)}",
        fix="mend the staged table, or say which one counts: duplicates='last' with order_by=COLUMN",
    )


def shown_keys(rows: pa.Table) -> str:
    """Up to five keys as text: ``(id=1, day=2024-01-01), …``."""
    some = rows.slice(0, _SHOWN).to_pylist()
    return ", ".join("(" + ", ".join(f"{name}={value}" for name, value in row.items()) + ")" for row in some)


def key_numbers(
    base: pa.Table, keys: Sequence[str], staged: pa.Table, staged_keys: Sequence[str]
) -> tuple[Numbers, Numbers]:
    """Keys of both tables as numbers that are equal exactly where the keys are."""
    pairs = [(base[ours], staged[theirs]) for ours, theirs in zip(keys, staged_keys)]
    if len(pairs) == 1 and (numbers := [_integers(column) for column in pairs[0]])[0] is not None:
        return numbers[0], numbers[1]
    rows = base.num_rows
    codes, void = np.zeros(rows + staged.num_rows, np.int64), np.zeros(rows + staged.num_rows, bool)
    for ours, theirs in pairs:
        part, missing = _codes(ours, theirs)
        void |= missing
        size = int(part.max(initial=0)) + 1
        if int(codes.max(initial=0)) + 1 > (1 << 62) // size:
            # Numbered again, so that the product never overflows.
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
        codes = codes * size + part
    return _numbers(codes[:rows], void[:rows]), _numbers(codes[rows:], void[rows:])


def _numbers(values: Any, void: Any) -> Numbers:
    return Numbers(values, void if void.any() else None)


def _integers(column: Any) -> Any:
    """The column as numbers where its type is an integer underneath, else None."""
    kind = column.type
    if not (pa.types.is_signed_integer(kind) or (pa.types.is_temporal(kind) and kind.bit_width in (32, 64))):
        return None
    void = None
    if column.null_count:
        void = column.is_null().to_numpy()
        column = column.fill_null(
            pa.scalar(0, pa.int64()).cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
        )
    if pa.types.is_temporal(kind):
        column = pa.chunked_array(
            [chunk.view(pa.int64() if kind.bit_width == 64 else pa.int32()) for chunk in column.chunks],
            pa.int64() if kind.bit_width == 64 else pa.int32(),
        )
    return Numbers(column.to_numpy().astype(np.int64, copy=False), void)


def _codes(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> tuple[Any, Any]:
    """Equal numbers for equal values over both columns, and where there is no value."""
    kind = _widest(ours.type)
    values = pa.concat_arrays([_plain(chunk) for column in (ours, theirs) for chunk in _chunks(column, kind)])
    void = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(values.type):
        # Negative zero equals zero, as everywhere in SQL; NaN equals nothing.
        plain = values.fill_null(0).to_numpy(zero_copy_only=False) + 0.0
        void = void | np.isnan(plain)
        values = pa.array(plain)
    coded = values.dictionary_encode().indices.fill_null(0)
    return coded.to_numpy(zero_copy_only=False).astype(np.int64), void


def _widest(kind: pa.DataType) -> pa.DataType:
    """The type that all values of a key's class fit in, since the types of two tables may differ in width."""
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_decimal(kind):
        return pa.decimal128(38, kind.scale)
    return pa.binary() if pa.types.is_fixed_size_binary(kind) else kind


def _chunks(column: pa.ChunkedArray, kind: pa.DataType) -> list[pa.Array]:
    column = column if column.type == kind else column.cast(kind)
    return list(column.chunks) or [pa.array([], kind)]


def _plain(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values, pa.ExtensionArray) else values
