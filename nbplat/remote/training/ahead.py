"""Reads units ahead of need, in threads, within a bound of bytes, in exactly the order asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from nbplat.remote.failure import KernelError

from .join import Joined
from .places import POOL, release

__all__ = ["ATTEMPTS", "Ahead", "of_unit", "read_unit", "shown_unit"]

ATTEMPTS = 3
_SHOWN = 3


class Ahead:
    """Joins units in threads; close it, or use it as a context.

    Args:
        read: Joins one unit; called from several threads.
        units: In order, each with ``name``, ``decoded_bytes`` and ``files``.
        threads: Units that are joined at once.
        ahead_bytes: Estimated bytes of units that are joined before they are asked for; one is, whatever its size.

    Attributes:
        wait_s: How long the caller has waited, in seconds.
    """

    def __init__(
        self,
        read: Callable[[Any], Joined],
        units: Sequence[Any],
        *,
        threads: int,
        ahead_bytes: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._threads, self._ahead, self._monotonic_s = read, threads, ahead_bytes, monotonic_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="nbplat-join")
        self._pending: deque[tuple[Any, Future[Joined]]] = deque()
        self._upcoming = deque(units)
        self._held = ExitStack()
        self._held.enter_context(POOL.kept())
        self.wait_s = 0.0

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was not asked for; waits for the units that are being joined."""
        for _, future in self._pending:
            future.cancel()
        self._pool.shutdown(wait=True)
        self._pending.clear()
        self._held.close()

    def take(self) -> tuple[Any, Joined]:
        """The next unit and its rows; `start` begins those after it.

        Raises:
            IndexError: there is none.
            KernelError: what joining the unit breaks, naming it.
        """
        if not self._pending:
            self.start()
        unit, future = self._pending.popleft()
        started = self._monotonic_s()
        # The caller holds the rows alone: a future keeps what it holds for as long as it lives.
        found = future.result()
        self.wait_s += self._monotonic_s() - started
        return unit, found

    def start(self, used_bytes: int = 0, most: int | None = None) -> None:
        """Begin units, one a thread, while they fit beside those that wait and the one that is used.

        Args:
            most: Units that may wait; None: as many as there are threads.
        """
        waiting = self._threads if most is None else min(most, self._threads)
        held = used_bytes + sum(unit.decoded_bytes for unit, _ in self._pending)
        while self._upcoming and len(self._pending) < waiting:
            if held and held + self._upcoming[0].decoded_bytes > self._ahead:
                return
            unit = self._upcoming.popleft()
            held += unit.decoded_bytes
            self._pending.append((unit, self._pool.submit(_read_alone, self._read, unit)))

    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """What the work gives for each item, in order, done by the threads that join."""
        return self._pool.map(work, items)


def _read_alone(read: Callable[[Any], Joined], unit: Any) -> Joined:
    """Join one unit in a thread that does so again and again; what the earlier ones held is another thread's by now."""
    release()
    try:
        return read_unit(read, unit)
    finally:
        release()


def read_unit(read: Callable[[Any], Joined], unit: Any) -> Joined:
    """Join one unit; what another system failed at is tried again.

    Raises:
        KernelError: what joining it breaks, naming the unit.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return read(unit)
        except KernelError as error:
            found = of_unit(error, unit)
            # What another system failed at may succeed a moment later; all else fails the same way again, and
            # Ray has had its tries.
            if attempt == ATTEMPTS or found.kind != "RemoteError" or found.code == "ray.worker":
                raise found from None
        except MemoryError:
            raise KernelError(
                "memory.full",
                f"the machine ran out of memory while {unit.name or 'the whole table'} was joined",
                fix="plan with a smaller max_unit_bytes, and prefetch fewer bytes",
                kind="SetupError",
            ) from None
    raise AssertionError("unreachable")


def of_unit(error: KernelError, unit: Any) -> KernelError:
    """The error with the unit that it is about; a file that is gone says why that can be."""
    name = unit.name or "the whole table"
    if error.code == "file.gone":
        return KernelError(
            "training.file_gone",
            f"a file of {name} is gone: its snapshot was expired, or its staged run swept, after this was planned",
            fix="plan again; hold() a plan while it is used, which tags its snapshots",
            where=error.where,
            kind="Conflict",
        )
    if name in error.message:
        return error
    return KernelError(
        error.code, f"{error.message} (while {name} was joined)", fix=error.fix, where=error.where, kind=error.kind
    )


def shown_unit(unit: Any) -> str:
    """A plan's entry for people: its name, rows, bytes and files."""
    paths = [file["path"] if isinstance(file, dict) else file.path for file in unit.files]
    names = [path.rpartition("/")[2] for path in paths[:_SHOWN]]
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    size = f"{unit.rows:,} rows, about {unit.decoded_bytes / 1e6:,.0f} MB decoded"
    return f"{unit.name or 'the whole table'} ({', '.join(names)}{more}: {size})"
