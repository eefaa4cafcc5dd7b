"""Runs tasks in threads of this process; Arrow and DuckDB let go of the interpreter while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from nbplat.job.farm import in_threads
from nbplat.remote.failure import attempt
from nbplat.remote.failure import failed as failed_unit

__all__ = ["LocalFarm", "local_slots"]

_SLOT_BYTES = 128 << 20


def local_slots(threads: int, memory_bytes: int) -> int:
    """How many tasks to run at once: one a thread, as far as each has memory to work in."""
    return max(1, min(threads, memory_bytes // _SLOT_BYTES))


class LocalFarm:
    """Implements `nbplat.job.farm.Farm`.

    Args:
        slots: Tasks at once.
    """

    name = "local"

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def run(
        self,
        work: Callable[[Any], Any],
        tasks: Iterator[Any],
        *,
        failed: Callable[[Any, Exception], Any] | None = None,
    ) -> Iterator[Any]:
        """See the port."""
        return in_threads(self.slots, partial(attempt, work, failed or failed_unit), tasks, "nbplat-work")
