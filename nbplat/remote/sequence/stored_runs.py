"""The live rows of a bucket in a stored index, each with the file and the place it lies at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from .source_part import read_part

__all__ = ["StoredRows", "read_runs"]

_CHUNK_ROWS = 1 << 18


class StoredRows(NamedTuple):
    """Rows of the index table.

    Attributes:
        rows: The wanted columns; runs one after the other, each in the total order.
        run: ``int32[rows]``, place of the row's file among the runs.
        position: ``int64[rows]``, physical row in its file.
    """

    rows: pa.Table
    run: Any
    position: Any

    def take(self, at: Any) -> StoredRows:
        """Some of the rows, ``int64[...]``."""
        return StoredRows(self.rows.take(pa.array(at)), self.run[at], self.position[at])


def read_runs(runs: Sequence[Mapping[str, Any]], columns: Sequence[str], keep: Any | None = None) -> StoredRows:
    """Read a bucket.

    Args:
        runs: What `source_part.read_part` reads, a data file each; at least one.
        columns: At least one.
        keep: ``bool[live rows]`` over all runs: which rows to give; None gives all.
    """
    tables: list[pa.Table] = []
    run, position = [], []
    start = 0
    for number, part in enumerate(runs):
        places = _live(part)
        tables += _chunks(part, columns, None if keep is None else keep[start : start + len(places)])
        if keep is not None:
            wanted = keep[start : start + len(places)]
            start += len(places)
            places = places[wanted]
        run.append(np.full(len(places), number, np.int32))
        position.append(places)
    return StoredRows(pa.concat_tables(tables), np.concatenate(run), np.concatenate(position))


def _chunks(part: Mapping[str, Any], columns: Sequence[str], keep: Any | None) -> Iterator[pa.Table]:
    whole = pa.ipc.read_schema(pa.py_buffer(part["schema"]))
    yield pa.schema([pa.field(name, whole.field(name).type) for name in columns]).empty_table()
    if keep is not None and not keep.any():
        return
    start = 0
    for rows in read_part(part, columns, _CHUNK_ROWS):
        if keep is None:
            yield rows
        elif keep[start : start + rows.num_rows].any():
            yield rows.filter(pa.array(keep[start : start + rows.num_rows]))
        start += rows.num_rows


def _live(part: Mapping[str, Any]) -> Any:
    places = np.arange(part["rows"], dtype=np.int64)
    return np.delete(places, np.frombuffer(part["deleted"], "<i8")) if part["deleted"] else places
