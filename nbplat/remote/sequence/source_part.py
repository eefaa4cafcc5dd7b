"""Reads one piece of a source, in whatever process it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from nbplat.remote.failure import KernelError
from nbplat.remote.read import live_chunks
from nbplat.remote.storage import filesystem

__all__ = ["read_part"]


def read_part(
    task: Mapping[str, Any], columns: Sequence[str], chunk_rows: int = 1 << 17, *, encoded: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """Rows of a part in bounded chunks, in the order of the file.

    Args:
        task: ``kind`` and what it needs:

            - ``iceberg``, a data file of an Iceberg table: `task.FileTask`'s ``path``, ``rows``, ``constants`` and
              ``deleted``; ``schema`` (serialized Arrow schema of the table, with field ids), ``names`` (see
              `project.Names`) and ``storage``; ``groups``, the row groups ``[first, end)`` to read, may be missing:
              all;
            - ``parquet``, any Parquet file: ``path``, ``rows``, ``constants`` (of columns that the folders name),
              ``schema`` (of all files together), ``storage`` and ``groups`` in the same way;
            - ``ipc``, an Arrow file: ``path`` and ``storage``; ``batches``, ``[first, end)``, may be missing: all.
        columns: Which, in this order. None of them: chunks have rows and no columns.
        chunk_rows: At most so many rows a chunk.
        encoded: Columns of texts that may come as dictionaries.

    Raises:
        KernelError: ``file.gone``, ``file.damaged``, ``stage.rows`` (another file by now), ``file.column``,
            ``file.type``.
    """
    if task["kind"] == "ipc":
        yield from _arrow_file(task, columns, chunk_rows)
        return
    whole = pa.ipc.read_schema(pa.py_buffer(task["schema"]))
    wanted = pa.schema([whole.field(name) for name in columns])
    by_name = task["kind"] == "parquet"
    names = task.get("names", {})
    yield from live_chunks(task, wanted, names, task["storage"], chunk_rows, by_name=by_name, encoded=encoded)


def _arrow_file(task: Mapping[str, Any], columns: Sequence[str], chunk_rows: int) -> Iterator[pa.Table]:
    system, path = filesystem(task["path"], task["storage"])
    try:
        source = system.open_input_file(path)
    except FileNotFoundError:
        raise KernelError(
            "file.gone",
            "the stored rows of a DataFrame are gone",
            fix="run the cell again: it stores them anew",
            where=task["path"],
        ) from None
    with source, pa.ipc.open_file(source) as reader:
        first, end = task.get("batches") or (0, reader.num_record_batches)
        for number in range(first, end):
            rows = pa.Table.from_batches([reader.get_batch(number)]).select(list(columns))
            for start in range(0, rows.num_rows, chunk_rows):
                yield rows.slice(start, chunk_rows)
