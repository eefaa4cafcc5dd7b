"""As-of look-ups: which row of a table holds for a key at a moment, vectorised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .hashing import row_hash
from .plain import plain

__all__ = ["Keys", "Values", "distinct_keys", "find", "held_rows", "number_keys", "sort_values"]


class Keys(NamedTuple):
    """Distinct keys without nulls, numbered from 0.

    Attributes:
        columns: Distinct values of each key column.
        pairs: One for each column after the first: ``int64``, ascending, the pairs of a number so far and a place in
            that column that occur, packed; a pair's place is the new number.
        size: How many keys there are.
    """

    columns: tuple[pa.Array, ...]
    pairs: tuple[Any, ...]
    size: int


class Values(NamedTuple):
    """Rows of a table that enriches, sorted by key and by the moment from which each holds.

    Attributes:
        keys: The keys that occur.
        start: ``int64[keys + 1]``: a key's rows are ``[start, next start)``, never none.
        from_us: ``int64[rows]``, microseconds since 1970 UTC, ascending within a key. None: one row a key.
        rows: The value columns. Of several values of a key from one moment on each column ends with the one of the
            greatest hash, so that what one gives does not depend on the others.
        keyless: Rows left out because a key is null.
        timeless: Rows left out because the moment is null.
        tied: ``bool[rows]``: the key and moment of the row are another's too, with other values. None: no row is.
    """

    keys: Keys
    start: Any
    from_us: Any
    rows: pa.Table
    keyless: int
    timeless: int
    tied: Any = None


def distinct_keys(table: pa.Table) -> Keys:
    """Number the distinct keys of a table, all of whose columns are the key; rows with a null have none."""
    columns = tuple(pc.unique(plain(column)).drop_null() for column in table.columns)
    numbers = _places(table.column(0), columns[0])
    pairs = []
    count = len(columns[0])
    for column, values in zip(table.columns[1:], columns[1:]):
        packed, known = _packed(numbers, _places(column, values), len(values))
        found = np.unique(packed[known])
        pairs.append(found)
        numbers = np.where(known, np.searchsorted(found, packed), -1)
        count = len(found)
    return Keys(columns, tuple(pairs), count)


def number_keys(keys: Keys, wanted: pa.Table) -> Any:
    """Number of each row's key, ``int64[rows]``; -1 where it is unknown or holds a null.

    Args:
        wanted: The key columns, in the order of `keys`; integers of another width and texts of another encoding match.

    Raises:
        KernelError: ``sequence.enrich_key``, a column of another kind than the key's.
    """
    numbers = _places(wanted.column(0), keys.columns[0], wanted.column_names[0])
    for at, (values, found) in enumerate(zip(keys.columns[1:], keys.pairs), 1):
        packed, known = _packed(numbers, _places(wanted.column(at), values, wanted.column_names[at]), len(values))
        place = np.minimum(np.searchsorted(found, packed), max(len(found) - 1, 0))
        same = known & (found[place] == packed) if len(found) else np.zeros(len(packed), bool)
        numbers = np.where(same, place, -1)
    return numbers


def held_rows(chunks: Iterable[pa.Table], on: Sequence[str], keys: Keys) -> pa.Table:
    """The rows of a table in chunks whose key is among `keys`: memory for these and one chunk.

    Raises:
        ValueError: there is no chunk.
    """
    kept = [chunk.filter(pa.array(number_keys(keys, chunk.select(list(on))) >= 0)) for chunk in chunks]
    return pa.concat_tables(kept)


def sort_values(table: pa.Table, on: Sequence[str], columns: Sequence[str], from_us: Any = None) -> Values:
    """Sort a table for `find`; the result does not depend on the order of its rows.

    Args:
        on: Key columns.
        columns: Value columns, of any type.
        from_us: Arrow ``int64[rows]`` from which moment a row holds; nulls are left out and counted. None: the table
            has one row a key.

    Raises:
        KernelError: ``sequence.enrich_doubled``: without moments a key has several rows; counts them and shows one.
    """
    key_table = table.select(list(on))
    keys = distinct_keys(key_table)
    numbers = number_keys(keys, key_table)
    keep = numbers >= 0
    keyless = int(len(keep) - keep.sum())
    moments = None
    if from_us is not None:
        known = np.asarray(pc.is_valid(from_us))
        moments = np.asarray(pc.fill_null(from_us, 0)).astype(np.int64, copy=False)
        keep = keep & known
    timeless = int((numbers >= 0).sum() - keep.sum())
    at = np.flatnonzero(keep)
    values = table.select(list(columns))
    tied = None
    if moments is None:
        order = at[np.argsort(numbers[at], kind="stable")]
        numbers = numbers[order]
        _refuse_doubled(numbers, key_table, order, on)
        rows = values.take(pa.array(order))
    else:
        order = at[np.lexsort((moments[at], numbers[at]))]
        numbers, moments = numbers[order], moments[order]
        rows, tied = _ties_by_hash(values.take(pa.array(order)), numbers, moments)
    # A key all of whose rows were left out would be a key without rows; it keeps its number and finds nothing.
    start = np.searchsorted(numbers, np.arange(keys.size + 1))
    return Values(keys, start, moments, rows, keyless, timeless, tied)


def find(values: Values, numbers: Any, at_us: Any = None, *, strict: bool = False) -> Any:
    """Row of `Values.rows` that holds for each key at its moment, ``int64[wanted]``; -1 where none does.

    Args:
        numbers: ``int64[wanted]`` as `number_keys` gives them.
        at_us: ``int64[wanted]``; None takes the latest row. Without moments in `values` any moment will do.
        strict: True leaves out a row that holds from the very moment on.
    """
    known = numbers >= 0
    number = np.where(known, numbers, 0)
    if not len(values.start) - 1:
        return np.full(len(numbers), -1, np.int64)
    first, end = values.start[number], values.start[number + 1]
    if at_us is None or values.from_us is None:
        return np.where(known & (end > first), end - 1, -1)
    low, high = first.copy(), end.copy()
    # Bisection inside the key's own rows: as many rounds as the key with most rows needs.
    for _ in range(int((end - first).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        moment = values.from_us[np.minimum(middle, len(values.from_us) - 1)]
        holds = (moment < at_us if strict else moment <= at_us) & (low < high)
        high = np.where(holds | (low >= high), high, middle)
        low = np.where(holds, middle + 1, low)
    return np.where(known & (low > first), low - 1, -1)


def _places(column: Any, values: pa.Array, name: str = "") -> Any:
    column = plain(column)
    if column.type != values.type:
        try:
            column = column.cast(values.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise KernelError(
                "sequence.enrich_key",
                f"the events' {name!r} is of type {column.type}, the key it is matched with of type {values.type}",
                fix="name columns of one type: [on event_column = table_column]",
                kind="RequestError",
            ) from None
    return np.asarray(pc.fill_null(pc.index_in(column, value_set=values, skip_nulls=True), -1)).astype(np.int64)


def _packed(numbers: Any, places: Any, width: int) -> tuple[Any, Any]:
    """Pairs as one integer and which of them are pairs; both are below 2**31, so that the product fits."""
    return numbers * width + places, (numbers >= 0) & (places >= 0)


def _refuse_doubled(numbers: Any, keys: pa.Table, order: Any, on: Sequence[str]) -> None:
    again = np.flatnonzero(numbers[1:] == numbers[:-1])
    if not len(again):
        return
    shown = ", ".join(f"{name} {keys[name][int(order[again[0]])].as_py()!r}" for name in on)
    raise KernelError(
        "sequence.enrich_doubled",
        f"{len(again)} rows repeat a key of the table that enriches, e.g. {shown}",
        fix="name the column from which a value holds: `… by valid_from`, or keep one row a key",
    )


def _ties_by_hash(values: pa.Table, numbers: Any, moments: Any) -> tuple[pa.Table, Any]:
    """Order each column's values of one key and moment by their hash; which rows differ from another such."""
    again = (numbers[1:] == numbers[:-1]) & (moments[1:] == moments[:-1])
    if not again.any():
        return values, None
    at = np.flatnonzero(np.concatenate([again, [False]]) | np.concatenate([[False], again]))
    run = np.concatenate(
        [[0], np.cumsum((numbers[at[1:]] != numbers[at[:-1]]) | (moments[at[1:]] != moments[at[:-1]]))]
    )
    starts = np.flatnonzero(np.concatenate([[True], run[1:] != run[:-1]]))
    sizes = np.diff(np.append(starts, len(at)))
    found = np.zeros(len(numbers), bool)
    columns = []
    for name, column in zip(values.column_names, values.columns):
        hashes = row_hash(pa.table({name: column.take(pa.array(at))}))
        sort = np.lexsort((hashes, run))
        order = np.arange(len(numbers))
        order[at] = at[sort]
        columns.append(column.take(pa.array(order)))
        hashes = hashes[sort]
        differs = np.maximum.reduceat(hashes, starts) != np.minimum.reduceat(hashes, starts)
        found[at] |= np.repeat(differs, sizes)
    return pa.table(columns, names=values.column_names), found if found.any() else None
