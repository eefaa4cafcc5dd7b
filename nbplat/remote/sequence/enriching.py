"""Columns of other tables joined to events when an index is built: the value that held at each event's time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pyarrow as pa

from .lookup import Values, distinct_keys, find, held_rows, number_keys, sort_values
from .source_part import read_part
from .times import to_us

__all__ = ["FROM", "EnrichTask", "Enriched", "columns_of", "enriched", "from_column", "loaded_values"]

FROM = "__from"
"""Ends the name of the column that says from when the value held."""

_MOMENT = pa.timestamp("us", tz="UTC")
_CHUNK_ROWS = 1 << 18


class EnrichTask(TypedDict):
    """One table that enriches, and what is taken from it.

    Attributes:
        names: Name beside the events' columns -> column of the table.
        at: ``event_time`` or ``latest``; ``request_time`` is answered where the examples are known.
        on: Pairs of event column and column of the table.
        time: Column from which a value holds, or None.
        time_unit: Of integer times, or None.
        zone: ``{"name", "ambiguous", "missing"}`` of naive times, or None.
        parts: What `source_part.read_part` reads.
        schema: Serialized Arrow schema of the columns that are read, `columns_of`; also of a table without rows.
        table: Its name, for messages.
    """

    names: dict[str, str]
    at: str
    on: list[list[str]]
    time: str | None
    time_unit: str | None
    zone: dict[str, str] | None
    parts: list[dict[str, Any]]
    schema: bytes
    table: str


class Enriched(NamedTuple):
    """Events with the columns of other tables.

    Attributes:
        rows: As they came, with `EnrichTask.names` and, where there is a time column, ``<name>__from`` behind.
        hits: Name -> events that found a row; its value may be null.
        tied: Name -> events whose key had several values from one moment on.
    """

    rows: pa.Table
    hits: dict[str, int]
    tied: dict[str, int]


def enriched(rows: pa.Table, time_us: Any, tasks: Sequence[Mapping[str, Any]]) -> Enriched:
    """Join the values that hold at each event's time (or the latest ones) to the events.

    Of each table only the rows are held whose key occurs among the events, and a chunk.

    Args:
        rows: Events; the event columns of ``on`` are among theirs.
        time_us: ``int64[rows]``.
        tasks: `EnrichTask`, in the order in which the columns are to come.

    Raises:
        KernelError: keys of another type, a key twice in a table without a time column, times that cannot be read.
    """
    hits: dict[str, int] = {}
    tied: dict[str, int] = {}
    for task in tasks:
        wanted = rows.select([pair[0] for pair in task["on"]])
        values = loaded_values(task, _parts(task), wanted)
        at = find(values, number_keys(values.keys, wanted), time_us if task["at"] == "event_time" else None)
        found = at >= 0
        for name, column in _joined(task, values, at).items():
            rows = rows.append_column(name, column)
        for name in task["names"]:
            hits[name] = int(found.sum())
            tied[name] = 0 if values.tied is None else int(values.tied[at[found]].sum())
    return Enriched(rows, hits, tied)


def loaded_values(task: Mapping[str, Any], chunks: Iterable[pa.Table], wanted: pa.Table | None = None) -> Values:
    """Sort what a table holds for `find`.

    Args:
        chunks: `columns_of` the task; may be none.
        wanted: Keys to keep the rows of; None: all.
    """
    on = [pair[1] for pair in task["on"]]
    none = pa.ipc.read_schema(pa.py_buffer(task["schema"])).empty_table()
    chunks = itertools.chain([none], (chunk.cast(none.schema) for chunk in chunks))
    table = pa.concat_tables(chunks) if wanted is None else held_rows(chunks, on, distinct_keys(wanted))
    columns = sorted(set(task["names"].values()))
    moments = None
    if task["time"] is not None:
        moments = _moments(table[task["time"]], task)
    return sort_values(table, on, columns, moments)


def columns_of(task: Mapping[str, Any]) -> list[str]:
    """Columns of the table that enriching reads: of ``on``, of ``names``, and ``time``; each once."""
    time = [] if task["time"] is None else [task["time"]]
    return list(dict.fromkeys([*(pair[1] for pair in task["on"]), *task["names"].values(), *time]))


def from_column(values: Values, at: Any) -> pa.Array:
    """From when the values at these rows hold, ``timestamp[us, UTC]``; null for row -1."""
    missing = at < 0
    moments = np.where(missing, 0, values.from_us[at] if len(values.from_us) else 0)
    return pa.array(moments, pa.int64(), mask=missing).view(_MOMENT)


def _moments(column: pa.ChunkedArray, task: Mapping[str, Any]) -> pa.Array:
    """``int64[rows]``; null where the column is, which `to_us` would refuse."""
    null = np.asarray(column.is_null())
    known = to_us(column.drop_null(), unit=task["time_unit"], zone=task["zone"], name=f"{task['table']}.{task['time']}")
    moments = np.zeros(len(column), np.int64)
    moments[~null] = known
    return pa.array(moments, mask=null)


def _joined(task: Mapping[str, Any], values: Values, at: Any) -> dict[str, Any]:
    index = pa.array(at, mask=at < 0)
    joined: dict[str, Any] = {}
    for name, column in task["names"].items():
        joined[name] = values.rows[column].take(index)
        if values.from_us is not None:
            joined[name + FROM] = from_column(values, at)
    return joined


def _parts(task: Mapping[str, Any]) -> Iterator[pa.Table]:
    for part in task["parts"]:
        yield from read_part(part, columns_of(task), _CHUNK_ROWS)
