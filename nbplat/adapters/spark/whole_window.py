"""Stages a SQL body with Spark SQL, over the whole window at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.spark.failures import record_of
from nbplat.adapters.spark.farm import collected
from nbplat.adapters.spark.host import SparkHost
from nbplat.adapters.spark.lane import SqlLane, delivered
from nbplat.adapters.spark.progress import watched
from nbplat.remote.align import OWN_KEYS
from nbplat.remote.failure import KernelError
from nbplat.remote.spark_tasks import POSITION, RECORD, UNIT, WriteEmpty, WriteRows
from nbplat.remote.task import Task

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkSql"]

_SHOWN = 5


class SparkSql:
    """Runs a SQL body as Spark SQL: once over the whole window, its rows written where they come out.

    A task is everything that is to be staged now. When a row-wise body fails on some row, the files are
    tried again in halves, so that the files at fault name themselves.
    """

    name = "spark"
    slots = 1
    whole = True

    def __init__(self, host: SparkHost, lane: Callable[[], SqlLane], *, say: Callable[[str], None]) -> None:
        self._host = host
        self._lane = lane
        self._say = say

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """Stage task after task; yield a task's results together."""
        for task in tasks:
            session, lane = self._host.session(self._say), self._lane()
            session.sparkContext.setJobGroup("nbplat", f"stage {task['run']}", interruptOnCancel=True)
            with watched(session.sparkContext, "nbplat", self._say):
                yield self._whole(session, lane, task)

    def close(self) -> None:
        """End the session."""
        self._host.close()

    def _whole(self, session: SparkSession, lane: SqlLane, task: Task) -> list[dict[str, Any]]:
        chosen = [index for index, file in enumerate(task["files"]) if file["fence"]]
        results = self._attempt(session, lane, task, chosen)
        by_unit = {result["unit"]: result for result in results}
        return [by_unit[task["files"][index]["unit"]] for index in chosen]

    def _attempt(self, session: SparkSession, lane: SqlLane, task: Task, chosen: Sequence[int]) -> list[dict[str, Any]]:
        try:
            rows = delivered(session, lane, task, chosen)
            self._say(f"Spark SQL over {len(chosen)} files: {rows.told}")
            results = collected(_without_keys(rows.frame).mapInArrow(WriteRows(task), RECORD))
        except Exception as exc:  # noqa: BLE001 - becomes the files' own error
            failures = _all_failed(task, chosen, exc)
            if len(chosen) == 1 or not lane.row_wise or failures[0]["error"]["kind"] != "DataError":
                return failures
            half = len(chosen) // 2
            return [
                result for part in (chosen[:half], chosen[half:]) for result in self._attempt(session, lane, task, part)
            ]
        if any(result["unit"] is None for result in results):
            return _all_failed(task, chosen, _extra(rows.frame, task))
        told = {result["unit"] for result in results}
        silent = [index for index in chosen if task["files"][index]["unit"] not in told]
        if silent:
            units = session.createDataFrame([(index,) for index in silent], f"{UNIT} int").repartition(
                self._parts(session)
            )
            results += collected(units.mapInArrow(WriteEmpty(task), RECORD))
        return results

    def _parts(self, session: SparkSession) -> int:
        return max(session.sparkContext.defaultParallelism, 1)


def _without_keys(frame: DataFrame) -> DataFrame:
    return frame.drop(*(name for name in frame.columns if name.startswith("nb__key")))


def _extra(frame: DataFrame, task: Task) -> KernelError:
    """Why the body is refused: some of its keys are not base's; a second look names a few."""
    lost = frame.where(frame[POSITION].isNull())
    shown = ", ".join(
        "(" + ", ".join(f"{key}={row[f'nb__key{number}']}" for number, key in enumerate(task["keys"])) + ")"
        for row in lost.limit(_SHOWN).collect()
    )
    return KernelError(
        "body.extra_keys",
        f"the body returns {lost.count()} rows whose keys base does not have, e.g. {shown}",
        fix=OWN_KEYS,
    )


def _all_failed(task: Task, chosen: Sequence[int], exc: Exception) -> list[dict[str, Any]]:
    record = record_of(exc)
    files = [task["files"][index] for index in chosen]
    return [
        {"unit": file["unit"], "fence": file["fence"], "error": {**record, "where": record["where"] or file["path"]}}
        for file in files
    ]
