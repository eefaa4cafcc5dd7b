"""Events in any order in, the total order out: entity, type, time, id columns, hash of the declared columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dedupe import first_or_last
from .events import Events
from .hashing import row_hash
from .packed_sort import sort_by
from .plain import plain
from .rank import rank

__all__ = ["Counts", "Ordering", "counted", "merge_sorted", "order_events", "ordering"]

_BLOCK = 1 << 16


class Counts(NamedTuple):
    """What became of the rows; those of several buckets add up (`plus`).

    Attributes:
        rows: Rows read.
        no_entity, no_type, no_time, no_arrival: Left out because it is null; a row counts at the first of them.
        early: Known before they happened; taken as known when they happened.
        other_types: Left out because no rule names their type.
        copies: Left out by the dedupe rule.
        kept: The events that remain.
        tied: Of these share entity, type and time with another.
        equal: Of these are equal to an earlier one in entity, type, time and all hashed columns.
        types: Rows of each type, those that no rule names as well; of equal rows all count.
    """

    rows: int
    no_entity: int
    no_type: int
    no_time: int
    no_arrival: int
    early: int
    other_types: int
    copies: int
    kept: int
    tied: int
    equal: int
    types: dict[str, int]

    def plus(self, other: Counts) -> Counts:
        """Of both together."""
        types = {name: self.types.get(name, 0) + other.types.get(name, 0) for name in (*self.types, *other.types)}
        sums: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in self._fields[:-1]}
        return Counts(**sums, types=dict(sorted(types.items())))


class Ordering(NamedTuple):
    """Where each event of the total order stands in the input, and what `Events` says of it.

    Attributes:
        order: Integers, rows of the input.
    """

    order: Any
    entity: Any
    entities: pa.Table
    type: Any
    types: tuple[str, ...]
    time_us: Any
    seen_us: Any | None
    until_us: Any | None
    passes: Any | None
    counts: Counts

    def events(self, rows: pa.Table) -> Events:
        """The events, with columns of the input in the total order."""
        return self.with_rows(_taken(rows, self.order))

    def with_rows(self, rows: Any) -> Events:
        """The events, with rows that are in the total order already."""
        return Events(rows, *self[1:9])


def order_events(
    rows: pa.Table,
    *,
    entity: Sequence[str],
    type: str,
    types: Sequence[str],
    time_us: Any,
    id: Sequence[str] = (),
    hashed: Sequence[str] = (),
    seen_us: Any = None,
    passes: Any = None,
    dedupe: str = "none",
) -> tuple[Events, Counts]:
    """Put events into the total order; the result does not depend on the order of the rows.

    Args:
        rows: Rows of whole entities, any columns besides; the events have all of them.
        entity: Columns that say whose event it is; a null part leaves the row out.
        type: Column of the type, compared as text; a null leaves the row out.
        types: The types to keep, in any order.
        time_us: ``int64[rows]``, an array or Arrow; a null leaves the row out.
        id: Columns of the first tie-break, by value, nulls last; with the entity and the type they say what is a copy.
        hashed: Columns whose hash is the last tie-break: all that are declared.
        seen_us: As `time_us`, when each was known; None: there is no arrival.
        passes: ``int64[rows]``: bit k is set where condition k holds; None: there are no conditions.
        dedupe: ``none``, ``exact``, ``first`` or ``last``; see the definition.

    Raises:
        KernelError: ``sequence.order``: an entity or id column's values have no order; ``sequence.column_type``.
    """
    found = ordering(
        rows,
        entity=entity,
        type=type,
        types=types,
        time_us=time_us,
        id=id,
        hashed=hashed,
        seen_us=seen_us,
        passes=passes,
        dedupe=dedupe,
    )
    return found.events(rows), found.counts


def ordering(
    rows: pa.Table,
    *,
    entity: Sequence[str],
    type: str,
    types: Sequence[str],
    time_us: Any,
    id: Sequence[str] = (),
    hashed: Sequence[str] = (),
    seen_us: Any = None,
    passes: Any = None,
    dedupe: str = "none",
) -> Ordering:
    """As `order_events`, without taking the columns: for those who take fewer of them, or fewer rows."""
    names = tuple(sorted(types))
    steps, kept = _whole(rows, entity, type, time_us, seen_us)
    time, seen = _values(time_us), None if seen_us is None else _values(seen_us)
    passes = None if passes is None else np.asarray(passes, dtype=np.int64)
    early = 0
    if seen is not None:
        before = seen < time
        early = int(np.count_nonzero(before if kept is None else before[kept]))
        seen = np.maximum(seen, time)
    code, counts_by_type = _type_codes(rows[type], names, kept)
    wanted = code >= 0
    others = int(np.count_nonzero(~wanted if kept is None else ~wanted[kept]))
    if others:
        kept = np.flatnonzero(wanted) if kept is None else kept[wanted[kept]]
    few = rows.select(list(dict.fromkeys([*entity, *id, *hashed])))
    until, gone = None, np.empty(0, np.int64)
    if kept is not None:
        few = few.take(pa.array(kept))
        code, time, seen, passes = (None if each is None else each[kept] for each in (code, time, seen, passes))
    if dedupe in ("first", "last") and id:
        gone, until = first_or_last(few, entity, code, id, hashed, time, seen, dedupe)
    if len(gone):
        stay = np.ones(few.num_rows, dtype=bool)
        stay[gone] = False
        left = np.flatnonzero(stay)
        kept = left if kept is None else kept[left]
        few = few.take(pa.array(left))
        code, time, seen, passes, until = (
            None if each is None else each[left] for each in (code, time, seen, passes, until)
        )
    order, new_entity, tied, equal = _sorted(few, entity, code, time, id, hashed, dedupe == "exact")
    first = np.flatnonzero(new_entity)
    entities = pa.table({name: _decoded(few[name]).take(pa.array(order[first])) for name in entity})
    seen, until, passes = (None if each is None else each[order] for each in (seen, until, passes))
    copied, equal = (equal, 0) if dedupe == "exact" else (len(gone), equal)
    return Ordering(
        order=order if kept is None else kept[order],
        entity=np.cumsum(new_entity, dtype=np.int32) - np.int32(1),
        entities=entities,
        type=code[order],
        types=names,
        time_us=time[order],
        seen_us=seen,
        until_us=until,
        passes=passes,
        counts=Counts(rows.num_rows, *steps, early, others, copied, len(order), tied, equal, counts_by_type),
    )


def merge_sorted(
    parts: Sequence[Events], *, id: Sequence[str] = (), hashed: Sequence[str] = (), dedupe: str = "none"
) -> Events:
    """Events of several parts as if they had been ordered together.

    Args:
        parts: At least one, with the same columns and types, `id` and `hashed` among the columns.
    """
    if len(parts) == 1:
        return parts[0]
    names = [f"entity {at}" for at in range(parts[0].entities.num_columns)]
    entities = pa.concat_tables([part.entities.rename_columns(names).take(pa.array(part.entity)) for part in parts])
    rows = pa.concat_tables([part.rows for part in parts])
    with_all = rows
    for name in names:
        with_all = with_all.append_column(f"\0{name}", entities[name])
    kinds = np.concatenate([part.type for part in parts])
    type_names = pa.DictionaryArray.from_arrays(pa.array(kinds, pa.int16()), pa.array(parts[0].types, pa.string()))
    with_all = with_all.append_column("\0type", type_names)
    found = ordering(
        with_all,
        entity=[f"\0{name}" for name in names],
        type="\0type",
        types=parts[0].types,
        time_us=np.concatenate([part.time_us for part in parts]),
        id=id,
        hashed=hashed,
        seen_us=None if parts[0].seen_us is None else np.concatenate([part.seen_us for part in parts]),
        passes=None if parts[0].passes is None else np.concatenate([part.passes for part in parts]),
        dedupe=dedupe,
    )
    events = found.events(rows)
    return events._replace(entities=found.entities.rename_columns(parts[0].entities.column_names))


def _values(moments: Any) -> Any:
    """``int64`` values, zero where they are null."""
    if isinstance(moments, (pa.Array, pa.ChunkedArray)):
        array = plain(moments)
        return (array.fill_null(0) if array.null_count else array).to_numpy()
    return np.asarray(moments, dtype=np.int64)


def _whole(
    rows: pa.Table, entity: Sequence[str], type: str, time_us: Any, seen_us: Any
) -> tuple[tuple[int, int, int, int], Any | None]:
    """How many rows lack entity, type, time, arrival; the others, None when all rows have them."""
    steps, valid = [], None
    moments = ([time_us], [] if seen_us is None else [seen_us])
    for columns in ([rows[name] for name in entity], [rows[type]], *moments):
        before = rows.num_rows if valid is None else int(np.count_nonzero(valid))
        for column in columns:
            if getattr(column, "null_count", 0):
                known = column.is_valid().to_numpy(zero_copy_only=False)
                valid = known if valid is None else valid & known
        steps.append(before - (rows.num_rows if valid is None else int(np.count_nonzero(valid))))
    return (steps[0], steps[1], steps[2], steps[3]), None if valid is None else np.flatnonzero(valid)


def counted(codes: Any, kinds: int) -> list[int]:
    """How often each of the codes ``[0, kinds)`` is there; a block at a time, since numpy widens what it counts."""
    found = np.zeros(kinds, dtype=np.int64)
    for at in range(0, len(codes), _BLOCK):
        found += np.bincount(codes[at : at + _BLOCK], minlength=kinds)
    return found.tolist()


def _type_codes(column: Any, names: tuple[str, ...], kept: Any | None) -> tuple[Any, dict[str, int]]:
    """Each row's place in `names`, -1 for other types, and how many rows there are of every type."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        # As a rule no row is of another type: then one look at each does.
        found = pc.index_in(column, value_set=pa.array(names, column.type))
        if not found.null_count:
            places = found.to_numpy().astype(np.int16)
            counts = counted(places if kept is None else places[kept], len(names))
            return places, {name: count for name, count in zip(names, counts) if count}
    encoded = column.chunk(0) if _has_names(column) else plain(column).dictionary_encode()
    values = plain(encoded.dictionary)
    if pa.types.is_large_binary(values.type):
        texts = [value.decode(errors="replace") for value in values.to_pylist()]
    else:
        texts = values.cast(pa.string()).to_pylist()
    places = np.array([names.index(text) if text in names else -1 for text in texts] + [-1], dtype=np.int16)
    indices = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    counts = counted(indices if kept is None else indices[kept], len(texts) + 1)
    return places[indices], dict(sorted((text, count) for text, count in zip(texts, counts) if count))


def _has_names(column: Any) -> bool:
    """Whether it is one dictionary of distinct texts already."""
    if not pa.types.is_dictionary(column.type) or column.num_chunks != 1:
        return False
    names = column.chunk(0).dictionary
    return not names.null_count and len(names.unique()) == len(names)


def _taken(rows: pa.Table, order: Any) -> pa.Table:
    """Rows in another order, column by column: taking of many chunks at once would join all columns first."""
    at = pa.array(order)
    return pa.table({name: column.take(at) for name, column in zip(rows.column_names, rows.columns)}, rows.schema)


def _decoded(column: Any) -> Any:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _sorted(
    rows: pa.Table,
    entity: Sequence[str],
    code: Any,
    time: Any,
    id: Sequence[str],
    hashed: Sequence[str],
    exact: bool,
) -> tuple[Any, Any, int, int]:
    """The total order of whole rows: rows, where a new entity begins, how many rows tie, how many are equal to another.

    Args:
        exact: Equal rows are left out but one.
    """
    if not rows.num_rows:
        return np.empty(0, np.int64), np.empty(0, dtype=bool), 0, 0
    parts = [*(rank(rows[name], name) for name in entity), code, time]
    order, new, new_entity = sort_by(parts, len(entity))
    # A row ties when the one before or behind it has the same key.
    ties = ~new
    ties[:-1] |= ~new[1:]
    at = np.flatnonzero(ties)
    if not len(at):
        return order, new_entity, 0, 0
    # Rows that tie stand together, and each run of them begins with a new key.
    run = np.cumsum(new[at])
    few = rows.select(list(dict.fromkeys([*id, *hashed]))).take(pa.array(order[at]))
    keys = [run]
    for name in id:
        null = few[name].is_null().to_numpy()
        values = rank(few[name], name)
        keys += [null, np.where(null, values.dtype.type(0), values)]
    keys.append(row_hash(few.select(list(hashed))))
    inner = np.lexsort(keys[::-1])
    order[at] = order[at][inner]
    same = np.ones(len(at), dtype=bool)
    same[0] = False
    for key in keys:
        ordered = key[inner]
        same[1:] &= ordered[1:] == ordered[:-1]
    if exact and same.any():
        stay = np.ones(len(order), dtype=bool)
        stay[at[same]] = False
        # The first of a run always stays, so that no entity loses its beginning.
        order, new_entity, new = order[stay], new_entity[stay], new[stay]
        ties = ~new
        ties[:-1] |= ~new[1:]
    return order, new_entity, int(np.count_nonzero(ties)), int(np.count_nonzero(same))
