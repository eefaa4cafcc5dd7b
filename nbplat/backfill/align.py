"""Bring a body's result into the row order of the base files, and refuse what does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.backfill.ports import Column
from nbplat.backfill.types import arrow_type
from nbplat.errors import DataError
from nbplat.remote.cast import CastError, cast_column

__all__ = ["align", "check_unique", "key_digest", "null_columns"]

_SHOWN = 5


def align(
    result: pa.Table, base_keys: pa.Table, keys: Sequence[str], columns: Sequence[Column], inside: pa.Array | None
) -> pa.Table:
    """Order the new columns like the base rows.

    Args:
        result: Keys and new columns, one row per base row inside the window, any order.
        base_keys: The key columns of the base rows, in file order.
        keys: Names of the key columns.
        columns: The new columns as planned.
        inside: ``bool[n_base_rows]``, True inside the window; None means all are.

    Returns:
        The new columns, one row per base row; null outside the window.

    Raises:
        DataError: the result repeats a key, misses a base row, has rows the base has not, or a type drifted.
    """
    for column in columns:
        if column.name not in result.column_names:
            raise DataError(
                "body.column_missing", f"the body returned no column {column.name!r}", fix="plan the run again"
            )
    wanted = base_keys.num_rows if inside is None else int(pc.sum(inside).as_py() or 0)
    check_unique(result, keys, "body.duplicate_keys", "the body returns keys more than once", _FANS_OUT)
    index = _positions(base_keys, result, keys)
    found = index >= 0
    expected = np.ones(base_keys.num_rows, dtype=bool) if inside is None else inside.to_numpy(zero_copy_only=False)
    lost = np.flatnonzero(expected & ~found)
    if lost.size:
        raise DataError(
            "body.missing_keys",
            f"the body returns no row for {lost.size} of {wanted} rows, e.g. {_show(base_keys, lost[:_SHOWN])}",
            fix="keep every row of base: LEFT JOIN instead of JOIN, no WHERE on base",
        )
    if result.num_rows > wanted:
        raise DataError(
            "body.extra_keys",
            f"the body returns {result.num_rows - wanted} rows whose keys base does not have",
            fix="return the keys of base only",
        )
    take = pa.array(np.where(expected, index, 0), mask=~expected)
    return _typed(result, columns).take(take)


def _typed(result: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The new columns, each in its planned type."""
    arrays = []
    for column in columns:
        try:
            arrays.append(cast_column(result[column.name], arrow_type(column.type)))
        except CastError as exc:
            raise DataError(
                "body.type_drift",
                f"a value of the column {column.name!r} does not fit its type {column.type}: {exc}",
                fix=f"declare a wider type: --type {column.name}=…, or guard the expression",
            ) from None
    return pa.table(arrays, names=[column.name for column in columns])


def check_unique(table: pa.Table, keys: Sequence[str], code: str, what: str, fix: str) -> None:
    """Return when the key columns hold no null and no value twice.

    Raises:
        DataError: with `code`, naming up to five values.
    """
    for key in keys:
        if table[key].null_count:
            raise DataError("key.null", f"the key column {key!r} holds {table[key].null_count} nulls", fix=fix)
    counts = table.select(list(keys)).group_by(list(keys)).aggregate([([], "count_all")])
    if counts.num_rows == table.num_rows:
        return
    doubled = counts.filter(pc.greater(counts["count_all"], 1))
    shown = _show(doubled.select(list(keys)), np.arange(min(_SHOWN, doubled.num_rows)))
    raise DataError(code, f"{what}: {doubled.num_rows} of them, e.g. {shown}", fix=fix)


def key_digest(keys: pa.Table) -> str:
    """BLAKE2b-128 (hex) over key values in row order; the same for any chunking. Keys hold no null."""
    digest = hashlib.blake2b(digest_size=16)
    for name in keys.column_names:
        column = keys[name].combine_chunks()
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
            digest.update(np.asarray(pc.binary_length(column)).astype(np.int64).tobytes())
            digest.update(b"".join(value.as_buffer().to_pybytes() for value in column))
        else:
            digest.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()


def null_columns(columns: Sequence[tuple[str, pa.DataType]], rows: int) -> pa.Table:
    """A table of nulls, for base files without a row in the window."""
    return pa.table({name: pa.nulls(rows, kind) for name, kind in columns})


_FANS_OUT = "a join fans out: GROUP BY the keys, or join on a unique column"


def _positions(base: pa.Table, result: pa.Table, keys: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each base row the row of `result` with its key, or -1."""
    if len(keys) == 1:
        index = pc.index_in(base[keys[0]].combine_chunks(), value_set=result[keys[0]].combine_chunks())
        return np.asarray(pc.fill_null(index, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    base_codes, result_codes = _composite_codes(base, result, keys)
    order = np.argsort(result_codes, kind="stable")
    at = np.searchsorted(result_codes, base_codes, sorter=order)
    at = np.minimum(at, len(order) - 1) if len(order) else np.zeros_like(base_codes)
    if not len(order):
        return np.full(base.num_rows, -1, dtype=np.int64)
    hit = order[at]
    return np.where(result_codes[hit] == base_codes, hit, -1).astype(np.int64)


def _composite_codes(base: pa.Table, result: pa.Table, keys: Sequence[str]) -> tuple[Any, Any]:
    """One integer per composite key, equal exactly when the keys are equal."""
    codes = np.zeros(base.num_rows + result.num_rows, dtype=np.int64)
    for key in keys:
        both = pa.chunked_array([*base[key].chunks, *result[key].cast(base[key].type).chunks], type=base[key].type)
        part = both.combine_chunks().dictionary_encode()
        if isinstance(part, pa.ChunkedArray):
            part = part.combine_chunks()
        # Renumber after each column, so that the product never overflows.
        codes = codes * (len(part.dictionary) + 1) + part.indices.to_numpy(zero_copy_only=False)
        codes = np.unique(codes, return_inverse=True)[1]
    return codes[: base.num_rows], codes[base.num_rows :]


def _show(table: pa.Table, rows: npt.NDArray[np.int64]) -> str:
    picked = table.take(pa.array(rows)).to_pylist()
    return ", ".join("(" + ", ".join(f"{k}={v}" for k, v in row.items()) + ")" for row in picked)
