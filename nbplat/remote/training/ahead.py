"""Reads units ahead of need, in threads, within a bound of bytes, in exactly the order asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from nbplat.remote.failure import KernelError

from .join import Joined
from .places import release

__all__ = ["ATTEMPTS", "Ahead", "of_unit", "read_unit", "shown_unit"]

ATTEMPTS = 3
_SHOWN = 3


class Ahead:
    """Joins units in threads.

    Args:
        read: Joins one unit; called from several threads.
        threads: Units that are joined at once.
        ahead_bytes: Estimated bytes of units that are joined before they are asked for; one is, whatever its size.

    Attributes:
        wait_s: How long the caller has waited, in seconds.
    """

    def __init__(
        self,
        read: Callable[[Any], Joined],
        *,
        threads: int,
        ahead_bytes: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._threads, self._ahead, self._monotonic_s = read, threads, ahead_bytes, monotonic_s
        self.wait_s = 0.0

    def units(self, units: Sequence[Any]) -> Iterator[tuple[Any, Joined]]:
        """Each unit with its rows, in order.

        Args:
            units: Each with ``name``, ``decoded_bytes`` and ``files``.

        Raises:
            KernelError: what joining a unit breaks, naming the unit.
        """
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="nbplat-join")
        pending: deque[tuple[Any, Future[Joined]]] = deque()
        upcoming = deque(units)
        try:
            while upcoming or pending:
                self._fill(pool, pending, upcoming, 0)
                unit, future = pending.popleft()
                started = self._monotonic_s()
                # A future, and the frame of a generator, keep what they hold for as long as they live.
                found = [future.result()]
                self.wait_s += self._monotonic_s() - started
                del future
                self._fill(pool, pending, upcoming, unit.decoded_bytes)
                yield unit, found.pop()
        finally:
            for _, future in pending:
                future.cancel()
            pool.shutdown(wait=True)

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        pending: deque[tuple[Any, Future[Joined]]],
        upcoming: deque[Any],
        used_bytes: int,
    ) -> None:
        """Begin units, one a thread, while they fit beside those that wait and the one that is used."""
        held = used_bytes + sum(unit.decoded_bytes for unit, _ in pending)
        while upcoming and len(pending) < self._threads:
            if held and held + upcoming[0].decoded_bytes > self._ahead:
                return
            unit = upcoming.popleft()
            held += unit.decoded_bytes
            pending.append((unit, pool.submit(_read_alone, self._read, unit)))


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
