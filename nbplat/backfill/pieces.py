"""Runs pieces of staging on a task farm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nbplat.job.farm import Farm
from nbplat.remote.kernel import failed_files, stage
from nbplat.remote.task import Task

__all__ = ["Pieces"]


class Pieces:
    """Implements `nbplat.backfill.ports.Runner`: a piece a task.

    Args:
        work: Does a piece.
    """

    whole = False

    def __init__(self, farm: Farm, work: Callable[[Task], list[dict[str, Any]]] = stage) -> None:
        self._farm = farm
        self._work = work

    @property
    def name(self) -> str:
        """See the port."""
        return self._farm.name

    @property
    def slots(self) -> int:
        """See the port."""
        return self._farm.slots

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """See the port."""
        return self._farm.run(self._work, tasks, failed=failed_files)
