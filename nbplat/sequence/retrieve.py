"""From events in any order to one sorted index: (entity, type, time, tie-break), total and repeatable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.errors import RequestError, did_you_mean
from nbplat.sequence.early_preview import Step
from nbplat.sequence.spec import SequenceSpec

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SequenceIndex", "build_index", "time_us"]

_TIES_WORTH_A_WORD = 0.01


@dataclass(frozen=True, slots=True)
class SequenceIndex:
    """Sorted events of the declared types.

    Attributes:
        rows: The declared columns, sorted.
        time_us: ``int64[rows]``, microseconds (or the plain number of a numeric time column).
        group: ``int64[rows]``, ascending: entity code times the number of types plus the type's place.
        entities: Distinct entities, sorted; an entity's code is its place.
        types: The declared types, in the order of the definition.
        steps: Rows in and out of each step so far.
        warnings: What a reader should know; empty when all is well.
    """

    rows: pa.Table
    time_us: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    entities: pa.Array
    types: tuple[str, ...]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]


def build_index(spec: SequenceSpec, events: pa.Table) -> SequenceIndex:
    """Sort events once; the result does not depend on the order of the input rows.

    Args:
        events: The spec's `declared` columns, rows in any order. Rows with a null entity, time or type are left out
            and counted; so are rows of other types.

    Raises:
        RequestError: a column of a type that has no order (lists, structs), or a time column that is no time.
    """
    steps = [Step("read", events.num_rows, events.num_rows, spec.source)]
    for what, column in (("entity", spec.entity), ("time", spec.time), ("type", spec.type)):
        kept = events.filter(pc.is_valid(events[column]))
        if kept.num_rows < events.num_rows:
            steps.append(Step(f"{what} known", events.num_rows, kept.num_rows, f"{column} is null in the others"))
        events = kept
    types = tuple(rule.event_type for rule in spec.events)
    names = pc.cast(events[spec.type], pa.string())
    place = pc.index_in(names, value_set=pa.array(types))
    warnings = _absent_types(spec, names, types)
    kept = events.filter(pc.is_valid(place))
    steps.append(Step("types", events.num_rows, kept.num_rows, ", ".join(types)))
    events, type_place = kept.combine_chunks(), np.asarray(place.drop_null()).astype(np.int64)
    entity_code, entities = _ranked(events[spec.entity], spec, "entity")
    at = time_us(events[spec.time], spec, "time")
    group = entity_code * len(types) + type_place
    tie, tie_hash = _tie_break(spec, events, warnings)
    order = np.lexsort((tie_hash, tie, at, group))
    at, group = at[order], group[order]
    if not spec.id and len(at) > 1:
        same = (group[1:] == group[:-1]) & (at[1:] == at[:-1])
        shared = int((np.r_[same, False] | np.r_[False, same]).sum())
        if shared > _TIES_WORTH_A_WORD * len(at):
            warnings.append(
                f"{shared:,} of {len(at):,} events share entity, type and time with another: their order is by a hash"
                " of the declared columns; an id: column would make it meaningful"
            )
    rows = events.take(pa.array(order))
    return SequenceIndex(rows, at, group, entities, types, tuple(steps), tuple(warnings))


def time_us(column: pa.ChunkedArray, spec: SequenceSpec, key: str) -> npt.NDArray[np.int64]:
    """Times as integers that compare like them: microseconds, or the plain number; no nulls in the input.

    Raises:
        RequestError: a column of another type.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz))
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
    elif not pa.types.is_integer(kind):
        raise RequestError(
            "sequence.time",
            f"{key} is of type {kind}, which is no time",
            fix="name a timestamp, date or integer column",
            where=spec.lines.get(key, ""),
        )
    return np.asarray(column.cast(pa.int64()))


def _absent_types(spec: SequenceSpec, names: pa.ChunkedArray, types: tuple[str, ...]) -> list[str]:
    known = [name for name in pc.unique(names).to_pylist() if name is not None]
    return [
        f"no event is of type {name!r} ({spec.lines.get(f'events.{name}', 'events')}): {did_you_mean(name, known)}"
        for name in types
        if name not in known
    ]


def _ranked(column: pa.ChunkedArray, spec: SequenceSpec, key: str) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Each value's place among the sorted distinct ones, and these; a null's place is -1."""
    encoded = column.combine_chunks().dictionary_encode()
    try:
        order = pc.sort_indices(encoded.dictionary)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as exc:
        raise RequestError(
            "sequence.order",
            f"{key} is of type {column.type}, which has no order",
            fix="name a column of numbers, texts or times",
            where=spec.lines.get(key, ""),
        ) from exc
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.asarray(order)] = np.arange(len(order))
    codes = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    return np.where(codes >= 0, rank[codes] if len(rank) else -1, -1), encoded.dictionary.take(order)


def _tie_break(
    spec: SequenceSpec, events: pa.Table, warnings: list[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    none, no_hash = np.zeros(events.num_rows, np.int64), np.zeros(events.num_rows, np.uint64)
    if spec.id is None:
        return none, _row_hash(spec, events)
    code, ids = _ranked(events[spec.id], spec, "id")
    if len(ids) == events.num_rows:
        return code, no_hash
    warnings.append(f"{spec.id} is not unique: {events.num_rows - len(ids):,} rows repeat one or have none")
    return code, _row_hash(spec, events)


def _row_hash(spec: SequenceSpec, events: pa.Table) -> npt.NDArray[np.uint64]:
    """BLAKE2b-64 over the declared columns; rows that are equal in all of them may change places unseen."""
    texts = []
    for name in spec.declared:
        try:
            texts.append(pc.fill_null(pc.cast(events[name], pa.string()), "\x00"))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as exc:
            raise RequestError(
                "sequence.order",
                f"column {name!r} is of type {events[name].type}, which cannot break ties",
                fix="take it out of show, or name a unique id: column",
                where=spec.lines.get(f"show.{name}", ""),
            ) from exc
    joined = pc.binary_join_element_wise(*texts, "\x1f").to_pylist()
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in joined)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
