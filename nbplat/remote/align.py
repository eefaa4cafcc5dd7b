"""Bring a body's result into the row order of the base files, and refuse what does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .codes import positions_of, unique
from .failure import KernelError

__all__ = [
    "DOUBLED_KEYS",
    "FANS_OUT",
    "KEEP_ROWS",
    "OTHER_KEYS",
    "OWN_KEYS",
    "align",
    "check_unique",
    "inside_window",
    "key_digest",
    "refuse_nulls",
    "shown",
]

FANS_OUT = "a join fans out: GROUP BY the keys, or join on a unique column"
KEEP_ROWS = "keep every row of base: LEFT JOIN instead of JOIN, no WHERE on base"
OWN_KEYS = "return the keys of base only"
DOUBLED_KEYS = "the table holds keys more than once"
OTHER_KEYS = "choose --key columns that identify a row"

_SHOWN = 5


def align(result: pa.Table, wanted: pa.Table, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Order the new columns like the base rows they belong to.

    Args:
        result: Keys and new columns, one row per wanted row, any order.
        wanted: The base rows inside the window, in file order; only the key columns are read. No key
            is in it twice (see `check_unique`).
        keys: Names of the key columns.
        columns: Names of the new columns.

    Returns:
        The new columns, one row per wanted row.

    Raises:
        KernelError: ``body.column_missing``, ``body.duplicate_keys``, ``body.missing_keys``,
            ``body.extra_keys``, or ``key.null``.
    """
    for name in (*keys, *columns):
        if name not in result.column_names:
            raise KernelError("body.column_missing", f"the body returned no column {name!r}", fix="plan the run again")
    new = result.select(list(columns))
    if _in_order(result, wanted, keys):
        return new
    refuse_nulls(result, keys, FANS_OUT)
    at = positions_of(result, wanted, keys)
    known = at >= 0
    times = np.bincount(at[known], minlength=wanted.num_rows)
    doubled = np.flatnonzero(times > 1)
    if doubled.size:
        some = shown(wanted.select(list(keys)).take(pa.array(doubled[:_SHOWN])))
        raise KernelError(
            "body.duplicate_keys",
            f"the body returns keys more than once: {doubled.size} of them, e.g. {some}",
            fix=FANS_OUT,
        )
    lost = np.flatnonzero(times == 0)
    if lost.size:
        some = shown(wanted.select(list(keys)).take(pa.array(lost[:_SHOWN])))
        raise KernelError(
            "body.missing_keys",
            f"the body returns no row for {lost.size} of {wanted.num_rows} rows, e.g. {some}",
            fix=KEEP_ROWS,
        )
    if not known.all():
        raise KernelError(
            "body.extra_keys",
            f"the body returns {int((~known).sum())} rows whose keys base does not have",
            fix=OWN_KEYS,
        )
    take = np.empty(wanted.num_rows, dtype=np.int64)
    take[at] = np.arange(len(at))
    return new.take(pa.array(take))


def check_unique(table: pa.Table, keys: Sequence[str], code: str, what: str, fix: str) -> None:
    """Return when the key columns hold no null and no value twice.

    Raises:
        KernelError: with `code`, naming up to five values; ``key.null``.
    """
    refuse_nulls(table, keys, fix)
    if unique(table, keys):
        return
    counts = table.select(list(keys)).group_by(list(keys)).aggregate([([], "count_all")])
    doubled = counts.filter(pc.greater(counts["count_all"], 1))
    some = shown(doubled.select(list(keys)).slice(0, _SHOWN))
    raise KernelError(code, f"{what}: {doubled.num_rows} of them, e.g. {some}", fix=fix)


def refuse_nulls(table: pa.Table, keys: Sequence[str], fix: str) -> None:
    """Return when the key columns hold no null; otherwise raise KernelError ``key.null``."""
    for key in keys:
        if table[key].null_count:
            raise KernelError("key.null", f"the key column {key!r} holds {table[key].null_count} nulls", fix=fix)


def inside_window(table: pa.Table, window: Any) -> pa.Array | None:
    """``bool[rows]``, True inside the window; None when there is none. A null time is outside.

    Args:
        window: `task.WindowBounds` or None. Bounds are microseconds UTC; a date counts as its first moment.
    """
    if window is None:
        return None
    time = table[window["column"]]
    if pa.types.is_date(time.type):
        time = time.cast(pa.timestamp("us"))
    moment = time.combine_chunks().cast(pa.timestamp("us", tz=time.type.tz)).cast(pa.int64())
    mask = pc.is_valid(moment)
    for bound, compare in ((window["start"], pc.greater_equal), (window["end"], pc.less)):
        if bound is not None:
            mask = pc.and_(mask, pc.fill_null(compare(moment, bound), False))
    return mask


def key_digest(keys: pa.Table) -> str:
    """BLAKE2b-128 (hex) over key values in row order; the same for any chunking. Keys hold no null."""
    digest = hashlib.blake2b(digest_size=16)
    for name in keys.column_names:
        column = keys[name]
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        kind = column.type
        if pa.types.is_decimal(kind) or isinstance(kind, pa.BaseExtensionType) or pa.types.is_fixed_size_binary(kind):
            digest.update(_fixed_width(column))
        elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
            digest.update(np.asarray(pc.binary_length(column)).astype(np.int64).tobytes())
            digest.update(_characters(column))
        else:
            digest.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()


def shown(rows: pa.Table) -> str:
    """A few rows as text: ``(id=1, day=2024-01-01), …``."""
    return ", ".join("(" + ", ".join(f"{k}={v}" for k, v in row.items()) + ")" for row in rows.to_pylist())


def _in_order(result: pa.Table, wanted: pa.Table, keys: Sequence[str]) -> bool:
    """True when the result has the wanted rows' keys in their order already: most row-wise bodies."""
    if result.num_rows != wanted.num_rows:
        return False
    for key in keys:
        have = result[key]
        if have.null_count:
            return False
        if have.type != wanted[key].type:
            try:
                have = have.cast(wanted[key].type)
            except pa.ArrowInvalid:
                return False
        if not have.equals(wanted[key]):
            return False
    return True


def _fixed_width(column: pa.Array) -> bytes:
    """The values' bytes without what lies beside a slice."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    width = column.type.bit_width // 8
    data = column.buffers()[1]
    return b"" if data is None else bytes(data.slice(column.offset * width, len(column) * width))


def _characters(column: pa.Array) -> bytes:
    """The values of a string or binary array without nulls, one after the other."""
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return b""
    ends = np.frombuffer(offsets, np.int64 if wide else np.int32)
    start, end = int(ends[column.offset]), int(ends[column.offset + len(column)])
    return bytes(data.slice(start, end - start))
