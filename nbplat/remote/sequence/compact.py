"""Compact: write the runs of a bucket as one file again, without the rows that were removed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from nbplat.remote.failure import failed

from .heavy import WORKING, entity_ranges
from .index_file import index_location, write_index_file
from .source_part import read_part
from .stored_order import ordered_together
from .tasks import CompactTask

__all__ = ["compact"]

_CHUNK_ROWS = 1 << 17


def compact(task: CompactTask) -> dict[str, Any]:
    """Write the data file of a bucket anew.

    Returns:
        ``{"unit", "fence", "files", "replaced", "ms"}``: ``files`` as of `shard.shard`, none when no row is left;
        ``replaced`` the files whose rows it holds; or ``{"unit", "fence", "error"}``.
    """
    began = time.monotonic()
    try:
        files = _compacted(task)
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(task, exc)
    spent = round((time.monotonic() - began) * 1000)
    replaced = [run["path"] for run in task["runs"]]
    return {"unit": task["unit"], "fence": task["fence"], "files": files, "replaced": replaced, "ms": spent}


def _compacted(task: CompactTask) -> list[dict[str, Any]]:
    schema = pa.ipc.read_schema(pa.py_buffer(task["stored"]))

    def batches(only: list[str] | None) -> Iterator[pa.RecordBatch]:
        for run in task["runs"]:
            for rows in read_part(run, only or schema.names, _CHUNK_ROWS):
                yield from rows.to_batches()

    rows = sum(run["rows"] - len(run["deleted"]) // 8 for run in task["runs"])
    sample = next((batch for batch in batches(None) if batch.num_rows), None)
    if sample is None:
        return []
    size = rows * (sample.nbytes // sample.num_rows + 1)
    ranges = entity_ranges(batches, task["recipe"], rows, size, task["memory_bytes"] // WORKING)
    ordered = (ordered_together(found, task["recipe"]) for found in ranges)
    first = next(ordered)
    path = index_location(task["out"], task["bucket"], task["stem"], task["unit"], task["fence"])
    count, written = write_index_file(path, task["storage"], schema, itertools.chain([first], ordered))
    return [{"path": path, "bucket": task["bucket"], "rows": count, "file_bytes": written}]
