"""Sorted events as rows of the index table, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .events import Events

__all__ = [
    "BUCKET",
    "MOMENT",
    "RESERVED",
    "SEEN",
    "TIME",
    "TYPE",
    "UNTIL",
    "WHERE",
    "from_stored",
    "index_type",
    "stored_columns",
    "stored_schema",
    "to_stored",
]

BUCKET, TYPE, TIME, SEEN, UNTIL, WHERE = "nb_bucket", "nb_type", "nb_time", "nb_seen", "nb_until", "nb_where"
RESERVED = "nb_"
"""First letters of the index's own columns."""

_NEVER = np.iinfo(np.int64).max
MOMENT = pa.timestamp("us", tz="UTC")


def index_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column of this type has in the index: the nearest one that Iceberg can store without loss.

    Only nanoseconds are cut, to microseconds.
    """
    if pa.types.is_dictionary(kind):
        return index_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_time(kind):
        return pa.time64("us")
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_uint64(kind):
        return pa.decimal128(20)
    if pa.types.is_integer(kind):
        return pa.int64() if kind.bit_width == 64 or pa.types.is_uint32(kind) else pa.int32()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", index_type(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, index_type(field.type)) for field in kind])
    return kind


def stored_schema(columns: pa.Schema, *, arrival: bool, copies: bool, conditions: bool) -> pa.Schema:
    """Schema of the index table.

    Args:
        columns: What an event has, in the index's types; after them come the index's own.
        arrival: ``nb_seen`` is there.
        copies: ``nb_until`` is there (dedupe ``last`` with an arrival).
        conditions: ``nb_where`` is there.
    """
    own = [
        pa.field(BUCKET, pa.int32(), nullable=False),
        pa.field(TYPE, pa.string(), nullable=False),
        pa.field(TIME, MOMENT, nullable=False),
        *([pa.field(SEEN, MOMENT, nullable=False)] if arrival else []),
        *([pa.field(UNTIL, MOMENT)] if copies else []),
        *([pa.field(WHERE, pa.int64(), nullable=False)] if conditions else []),
    ]
    return pa.schema([*(pa.field(field.name, field.type) for field in columns), *own])


def to_stored(events: Events, bucket: int, schema: pa.Schema) -> pa.Table:
    """Rows of the index table, in the order of the events; `events.rows` holds all columns of `schema` but its own."""
    names = set(schema.names)
    own: dict[str, Any] = {
        BUCKET: np.full(len(events.time_us), bucket, np.int32),
        TYPE: pa.DictionaryArray.from_arrays(pa.array(events.type, pa.int16()), pa.array(events.types, pa.string())),
        TIME: _moments(events.time_us),
    }
    if SEEN in names:
        own[SEEN] = _moments(events.seen_us)
    if UNTIL in names:
        until = np.full(len(events.time_us), _NEVER) if events.until_us is None else events.until_us
        own[UNTIL] = _moments(until, until == _NEVER)
    if WHERE in names:
        own[WHERE] = pa.array(events.passes, pa.int64())
    arrays = []
    for field in schema:
        column = own[field.name] if field.name in own else events.rows.column(field.name)
        if isinstance(column, np.ndarray):
            column = pa.array(column)
        arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def stored_columns(schema: pa.Schema, entity: Sequence[str], columns: Iterable[str]) -> list[str]:
    """Which columns of the index table have to be read for `columns` of the events."""
    own = [name for name in (TYPE, TIME, SEEN, UNTIL, WHERE) if name in schema.names]
    return list(dict.fromkeys([*entity, *own, *columns]))


def from_stored(table: pa.Table, *, entity: Sequence[str], types: Sequence[str], columns: Sequence[str]) -> Events:
    """Events of sorted rows that `to_stored` made, of one bucket.

    Args:
        table: At least `stored_columns`; ``nb_type`` may be a dictionary.
        types: Of the index, sorted.
        columns: Of `Events.rows`.
    """
    table = table.combine_chunks()
    first = _first_of_entity(table, entity)
    at = np.flatnonzero(first)
    return Events(
        rows=table.select(list(columns)),
        entity=(np.cumsum(first) - 1).astype(np.int32),
        entities=table.select(list(entity)).take(pa.array(at)),
        type=_type_codes(table.column(TYPE), types),
        types=tuple(types),
        time_us=_us(table.column(TIME)),
        seen_us=_us(table.column(SEEN)) if SEEN in table.column_names else None,
        until_us=_until(table.column(UNTIL)) if UNTIL in table.column_names else None,
        passes=table.column(WHERE).to_numpy() if WHERE in table.column_names else None,
    )


def _first_of_entity(table: pa.Table, entity: Sequence[str]) -> Any:
    first = np.zeros(table.num_rows, bool)
    if table.num_rows:
        first[0] = True
        for name in entity:
            column = table.column(name)
            first[1:] |= np.asarray(pc.not_equal(column.slice(1), column.slice(0, table.num_rows - 1)))
    return first


def _type_codes(column: pa.ChunkedArray, types: Sequence[str]) -> Any:
    names = column.combine_chunks()
    if isinstance(names, pa.ChunkedArray):
        names = names.chunk(0) if names.num_chunks else pa.array([], column.type)
    if not pa.types.is_dictionary(names.type):
        return np.asarray(pc.index_in(names, value_set=pa.array(types, names.type))).astype(np.int16)
    place = np.asarray(pc.index_in(names.dictionary, value_set=pa.array(types, names.dictionary.type)))
    return place.astype(np.int16)[np.asarray(names.indices)]


def _moments(us: Any, null: Any = None) -> pa.Array:
    return pa.array(us, pa.int64(), mask=null).view(MOMENT)


def _us(column: pa.ChunkedArray) -> Any:
    return column.cast(pa.int64()).to_numpy()


def _until(column: pa.ChunkedArray) -> Any:
    if column.null_count == len(column):
        return None
    return pc.fill_null(column.cast(pa.int64()), _NEVER).to_numpy()
