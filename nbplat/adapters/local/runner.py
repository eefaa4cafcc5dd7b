"""Runs pieces of staging in threads of this process; Arrow and DuckDB let go of the interpreter while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from nbplat.remote.kernel import stage
from nbplat.remote.task import Task

__all__ = ["LocalRunner", "local_slots"]

_SLOT_BYTES = 128 << 20


def local_slots(threads: int, memory_bytes: int) -> int:
    """How many pieces to run at once: one a thread, as far as each has memory to work in."""
    return max(1, min(threads, memory_bytes // _SLOT_BYTES))


class LocalRunner:
    """Implements `nbplat.backfill.ports.Runner`.

    Args:
        slots: Pieces at once.
        work: Does a piece.
    """

    name = "local"
    whole = False

    def __init__(self, slots: int, work: Callable[[Task], list[dict[str, Any]]] = stage) -> None:
        self.slots = slots
        self._work = work

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """Keep every slot busy; yield each piece's results as it ends."""
        running: set[Future[list[dict[str, Any]]]] = set()
        more = True
        # Leaving the block, also by an exception, waits for what is under way: a thread cannot be ended.
        with ThreadPoolExecutor(self.slots, thread_name_prefix="nbplat-stage") as pool:
            while more or running:
                while more and len(running) < self.slots:
                    task = next(tasks, None)
                    if task is None:
                        more = False
                    else:
                        running.add(pool.submit(self._work, task))
                if running:
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        yield future.result()
