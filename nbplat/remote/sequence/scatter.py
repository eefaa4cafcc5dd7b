"""Scatter: read some parts of a source once and deal their events to buckets."""

from __future__ import annotations

import time
from typing import Any

from nbplat.remote.failure import failed

from .hashing import bucket_of
from .screen import screen, screened_schema
from .sift import sift
from .source_part import read_part
from .spill import SpillWriter, spill_location, write_spill
from .tally import add
from .tasks import ScatterTask

__all__ = ["chunk_rows", "scatter"]

# Of a task's memory: rows held, their copy in bucket order, what decoding and screening need.
_HELD = 6
_MOST_ROWS = 1 << 20
_LEAST_ROWS = 1 << 12


def scatter(task: ScatterTask) -> dict[str, Any]:
    """Write one spill file.

    Returns:
        ``{"unit", "fence", "spill", "tally", "ms"}``, where ``spill`` is a `SpillFile`; or ``{"unit", "fence",
        "error"}``.
    """
    began = time.monotonic()
    recipe, tallies = task["recipe"], []
    schema = screened_schema(recipe)

    def fill(writer: SpillWriter) -> None:
        for part in task["parts"]:
            for raw in read_part(part, recipe["read"], chunk_rows(task["memory_bytes"], len(recipe["read"]))):
                found = screen(raw, recipe)
                tallies.append(found.tally)
                if len(tallies) > 64:
                    tallies[:] = [add(tallies)]
                rows = sift(found.rows, part, recipe)
                writer.take(rows, bucket_of(rows.select(recipe["entity"]), recipe["buckets"]))

    try:
        location = spill_location(task["out"], task["unit"], task["fence"])
        hold_bytes = task["memory_bytes"] // _HELD
        spill = write_spill(location, task["storage"], schema, recipe["buckets"], hold_bytes, fill)
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(task, exc)
    spent = round((time.monotonic() - began) * 1000)
    return {"unit": task["unit"], "fence": task["fence"], "spill": spill, "tally": add(tallies), "ms": spent}


def chunk_rows(memory_bytes: int, columns: int) -> int:
    """How many rows to read at a time: a fraction of the memory at some bytes a value."""
    fitting = memory_bytes // _HELD // (24 * (columns + 2))
    return max(_LEAST_ROWS, min(_MOST_ROWS, fitting))
