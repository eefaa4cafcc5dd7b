"""Runs tasks in Spark's Python workers, each a Spark job of one task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nbplat.adapters.spark.failures import record_of
from nbplat.adapters.spark.host import SparkHost
from nbplat.adapters.spark.progress import watched
from nbplat.job.farm import in_threads, named
from nbplat.remote.failure import KernelError
from nbplat.remote.failure import failed as failed_unit
from nbplat.remote.spark_tasks import RECORD, RunTask

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["SparkFarm", "collected"]

# Job group of everything that a step runs; what its log is told about.
_GROUP = "nbplat"


class SparkFarm:
    """Implements `nbplat.job.farm.Farm`.

    The session starts at the first question and ends at `close`.
    """

    name = "spark"

    def __init__(self, host: SparkHost, *, say: Callable[[str], None]) -> None:
        self._host = host
        self._say = say

    @property
    def slots(self) -> int:
        """Cores of the master."""
        return max(self._host.session(self._say).sparkContext.defaultParallelism, 1)

    def run(
        self,
        work: Callable[[Any], Any],
        tasks: Iterator[Any],
        *,
        failed: Callable[[Any, Exception], Any] | None = None,
    ) -> Iterator[Any]:
        """See the port."""
        session = self._host.session(self._say)
        lost = failed or failed_unit

        def piece(task: Any) -> Any:
            session.sparkContext.setJobGroup(_GROUP, f"{work.__name__} {named(task)}", interruptOnCancel=True)
            try:
                [result] = collected(session.range(0, 1, 1, 1).mapInArrow(RunTask(work, lost, task), RECORD))
            except Exception as exc:  # noqa: BLE001 - a lost worker or session is this task's error
                return lost(task, KernelError.from_record(record_of(exc)))
            return result

        with watched(session.sparkContext, _GROUP, self._say):
            yield from in_threads(self.slots, piece, tasks, "nbplat-spark")

    def close(self) -> None:
        """End the session."""
        self._host.close()


def collected(frame: DataFrame) -> list[Any]:
    """The results in a frame of `nbplat.remote.spark_tasks.RECORD`."""
    return [json.loads(row["record"]) for row in frame.collect()]
