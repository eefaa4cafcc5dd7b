"""Task farms: many pieces of work at once, in threads here or in the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

__all__ = ["Farm", "Farms", "in_threads", "named"]

T = TypeVar("T", bound=Mapping[str, Any])
R = TypeVar("R")


class Farm(Protocol):
    """Runs pieces of work: threads here, Ray tasks, Spark tasks."""

    @property
    def name(self) -> str:
        """The engine it belongs to: ``local``, ``ray``, ``spark``."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at once; a slot has its share of the memory."""

    def run(
        self, work: Callable[[T], R], tasks: Iterator[T], *, failed: Callable[[T, Exception], R] | None = None
    ) -> Iterator[R]:
        """Do the tasks; yield each one's result as it ends, in no order.

        A task is pulled only when a slot is free for it. Closing the iterator waits for what is under way.
        Nothing is raised but what ends this process, and what `tasks` itself raises.

        Args:
            work: A function of a module of `nbplat.remote`. It takes what pickle carries and returns JSON values.
            tasks: Plain dicts. One has ``unit`` and ``fence``, unless `failed` knows better.
            failed: Makes the result of a task that raised, or whose worker died. None gives ``{"unit", "fence",
                "error"}`` with the record of an error (see `nbplat.remote.failure.failed`).
        """


class Farms(Protocol):
    """The farm of each engine."""

    def farm(self, engine: str, what: str, say: Callable[[str], None]) -> AbstractContextManager[Farm]:
        """A farm; it starts what it needs when it is asked for the first time and ends it with the block.

        Args:
            engine: ``local``, ``ray`` or ``spark``.
            what: Names its scratch folder and its jobs, e.g. ``index``.
            say: Takes lines for the job's log.
        """

    def check_farm(self, engine: str, reads: str, writes: str) -> None:
        """Return when the engine is installed and its workers reach these locations.

        Args:
            reads: Of a file that the tasks read.
            writes: Folder that they write to.

        Raises:
            SetupError: ``engine.reach``, ``ray.missing``, or what Spark lacks.
            RequestError: ``engine.unknown``.
        """


def in_threads(slots: int, do: Callable[[T], R], tasks: Iterator[T], name: str) -> Iterator[R]:
    """Keep `slots` threads busy with the tasks; see `Farm.run`. What `do` raises is raised here.

    Args:
        name: First part of the threads' names.
    """
    running: set[Future[R]] = set()
    more = True
    # Leaving the block, also by an exception, waits for what is under way: a thread cannot be ended.
    with ThreadPoolExecutor(slots, thread_name_prefix=name) as pool:
        while more or running:
            while more and len(running) < slots:
                task = next(tasks, None)
                if task is None:
                    more = False
                else:
                    running.add(pool.submit(do, task))
            if running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()


def named(task: Mapping[str, Any]) -> str:
    """The unit of a task, or those of its files, for a log."""
    return ", ".join(str(each["unit"]) for each in task.get("files", [task]) if "unit" in each)
