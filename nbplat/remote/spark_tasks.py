"""What Spark's Python workers run: a whole task, or rows that Spark has computed.

All are callables for ``mapInArrow`` that give one column ``record`` of JSON text, a task's result or an object per
file. An error is a record as well: one that is raised would end the worker and its imports with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .deliver import POSITION, Delivery
from .failure import attempt
from .task import Task

__all__ = ["POSITION", "RECORD", "UNIT", "RunTask", "WriteEmpty", "WriteRows"]

RECORD = "record string"
UNIT = "nb__unit"


class RunTask:
    """Runs one task per partition, whatever rows the partition has."""

    def __init__(self, work: Callable[[Any], Any], failed: Callable[[Any, Exception], Any], task: Any) -> None:
        self._work = work
        self._failed = failed
        self._task = task

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        yield _records([attempt(self._work, self._failed, self._task)])


class WriteRows:
    """Writes the staged files of rows that arrive file by file, in position order.

    The batches hold ``nb__unit`` (int: index into the task's files), ``nb__pos`` (long: physical row) and the
    new columns. Rows of one file come together, in one partition. A file's rows are in memory at once.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        delivery = Delivery(self._task)
        for unit, rows in _by_unit(batches):
            # A row without a unit has a key that base does not have: the caller looks into it.
            yield _records([{"unit": None} if unit < 0 else delivery.write(unit, rows)])


class WriteEmpty:
    """Writes the staged files to which no row belongs; the batches hold their ``nb__unit``."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        delivery = Delivery(self._task)
        for batch in batches:
            for unit in batch.column(UNIT).to_pylist():
                yield _records([delivery.write(unit, None)])


def _by_unit(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Cut a stream that is sorted by unit, nulls first; each unit's rows as one table, null's under -1."""
    held: list[pa.RecordBatch] = []
    unit: int | None = None
    for batch in batches:
        start = 0
        units = pc.fill_null(batch.column(UNIT), -1).to_numpy()
        while start < batch.num_rows:
            here = int(units[start])
            end = int(start + units[start:].searchsorted(here, side="right"))
            if unit is not None and here != unit:
                yield unit, pa.Table.from_batches(held)
                held = []
            unit = here
            held.append(batch.slice(start, end - start))
            start = end
    if unit is not None:
        yield unit, pa.Table.from_batches(held)


def _records(results: list[Any]) -> pa.RecordBatch:
    return pa.record_batch({"record": [json.dumps(result) for result in results]})
