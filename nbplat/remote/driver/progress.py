"""How far Spark is with a statement: stages and tasks of its job group, asked five times a second while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Watch", "fraction", "group_of"]

_EVERY_S = 0.2


class Watch:
    """Watches the running statement.

    Args:
        tracker: Gives Spark's StatusTracker; None while there is no Spark.
        send: Takes the statement's id and what changed.
    """

    def __init__(self, tracker: Callable[[], Any], send: Callable[[int, dict[str, Any]], Any]) -> None:
        self._tracker = tracker
        self._send = send
        self._running: int | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="progress", daemon=True).start()

    def begin(self, statement: int) -> None:
        with self._changed:
            self._running = statement
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._running = None
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running is not None)
                statement = self._running
            assert statement is not None  # noqa: S101 - just waited for
            self._follow(statement)

    def _follow(self, statement: int) -> None:
        seen: dict[str, Any] = {}
        best = 0.0
        while True:
            with self._changed:
                # The wait comes first: most statements end before the first question.
                if self._changed.wait_for(lambda: self._running != statement, _EVERY_S):
                    return
            try:
                found = self._ask(statement)
            except Exception:  # noqa: BLE001 - a stopped context or a lost JVM has no progress
                return
            if not found or found == seen:
                continue
            seen = found
            best = max(best, fraction(found["done"], found["total"]))
            with self._changed:
                if self._running != statement:
                    return
                self._send(statement, {**found, "fraction": best})

    def _ask(self, statement: int) -> dict[str, Any]:
        tracker = self._tracker()
        if tracker is None:
            return {}
        stages = []
        jobs = sorted(tracker.getJobIdsForGroup(group_of(statement)))
        for job in jobs:
            info = tracker.getJobInfo(job)
            for stage in info.stageIds if info else ():
                found = tracker.getStageInfo(stage)
                if found is not None:
                    stages.append(
                        {
                            "id": found.stageId,
                            "name": found.name,
                            "done": found.numCompletedTasks,
                            "active": found.numActiveTasks,
                            "failed": found.numFailedTasks,
                            "total": found.numTasks,
                        }
                    )
        if not stages:
            return {}
        stages.sort(key=lambda stage: stage["id"])
        totals = {name: sum(stage[name] for stage in stages) for name in ("done", "active", "failed", "total")}
        return {"jobs": len(jobs), **totals, "stages": stages[-20:]}


def group_of(statement: int) -> str:
    """Spark's job group of a statement."""
    return f"nbplat-{statement}"


def fraction(done: int, total: int) -> float:
    """Share of the tasks seen so far; never 1 while the statement runs: more stages may come."""
    return min(0.99, round(done / total, 4)) if total else 0.0
