"""What Spark is doing, told a few times a second from its status tracker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import SparkContext

__all__ = ["watched"]

_POLL_S = 0.3


@contextmanager
def watched(context: SparkContext, group: str, say: Callable[[str], None]) -> Iterator[None]:
    """Say a line whenever the stages of a job group have moved on.

    Args:
        group: The job group that the block runs its jobs in.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(context.statusTracker(), group, say, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _watch(tracker: Any, group: str, say: Callable[[str], None], stop: threading.Event) -> None:
    told = ""
    while not stop.wait(_POLL_S):
        try:
            line = _line(tracker, group)
        except Exception:  # noqa: BLE001 - the session has ended; its user says why
            return
        if line and line != told:
            say(line)
            told = line


def _line(tracker: Any, group: str) -> str:
    """``Spark: stage 2, 3 of 8 tasks, 2 running``; empty while nothing runs."""
    active = set(tracker.getActiveStageIds())
    stages = [
        stage
        for job in tracker.getJobIdsForGroup(group)
        if (info := tracker.getJobInfo(job)) is not None
        for stage in info.stageIds
        if stage in active
    ]
    told = []
    for stage in sorted(set(stages)):
        info = tracker.getStageInfo(stage)
        if info is not None:
            failed = f", {info.numFailedTasks} failed" if info.numFailedTasks else ""
            told.append(f"stage {stage}: {info.numCompletedTasks} of {info.numTasks} tasks done{failed}")
    return f"Spark {'; '.join(told)}" if told else ""
