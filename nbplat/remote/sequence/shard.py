"""Shard: sort the events of a bucket and write them as a data file of the index."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from nbplat.remote.failure import failed

from .direct import screen_all
from .heavy import WORKING, entity_ranges
from .index_file import index_location, write_index_file
from .scatter import chunk_rows
from .sorting import sort_events
from .source_part import read_part
from .spill import read_bucket
from .stored_rows import to_stored
from .tally import add
from .tasks import ShardTask

__all__ = ["shard"]


def shard(task: ShardTask) -> dict[str, Any]:
    """Write the data file of a bucket, or those of all buckets straight from the source.

    Returns:
        ``{"unit", "fence", "files", "tally", "ms"}``, where ``files`` has ``path``, ``bucket``, ``rows`` and
        ``file_bytes`` of each bucket that has events; or ``{"unit", "fence", "error"}``.
    """
    began = time.monotonic()
    try:
        files, tally = _direct(task) if task["bucket"] < 0 else _sharded(task)
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(task, exc)
    spent = round((time.monotonic() - began) * 1000)
    return {"unit": task["unit"], "fence": task["fence"], "files": files, "tally": tally, "ms": spent}


def _sharded(task: ShardTask) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    recipe, bucket = task["recipe"], task["bucket"]

    def batches(only: list[str] | None) -> Iterator[pa.RecordBatch]:
        for spill in task["spills"]:
            yield from read_bucket(
                spill["path"], task["spilled"], bucket, recipe["buckets"], spill["rounds"], only=only
            )

    rows = sum(spill["rows"] for spill in task["spills"])
    size = sum(spill["bytes"] for spill in task["spills"])
    ranges = entity_ranges(batches, recipe, rows, size, task["memory_bytes"] // WORKING)
    return _written(task, bucket, ranges)


def _direct(task: ShardTask) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The whole source at once: the plan says that it fits."""
    recipe = task["recipe"]
    rows = chunk_rows(task["memory_bytes"], len(recipe["read"]))
    chunks = (raw for part in task["parts"] for raw in read_part(part, recipe["read"], rows))
    screened, tally = screen_all(chunks, recipe)
    files, tallies = [], [tally]
    for bucket in range(recipe["buckets"]):
        written, tally = _written(task, bucket, iter([screened.of(bucket)]))
        files += written
        tallies.append(tally)
    return files, add(tallies)


def _written(task: ShardTask, bucket: int, ranges: Iterator[pa.Table]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    schema = pa.ipc.read_schema(pa.py_buffer(task["stored"]))
    tallies: list[dict[str, Any]] = []
    first = next((rows for rows in ranges if rows.num_rows), None)
    if first is None:
        return [], add(tallies)

    def stored() -> Iterator[pa.Table]:
        for rows in itertools.chain([first], ranges):
            events, tally = sort_events(rows, task["recipe"])
            tallies.append(tally)
            yield to_stored(events, bucket, schema)

    path = index_location(task["out"], bucket, task["stem"], task["unit"], task["fence"])
    rows, size = write_index_file(path, task["storage"], schema, stored())
    return [{"path": path, "bucket": bucket, "rows": rows, "file_bytes": size}], add(tallies)
