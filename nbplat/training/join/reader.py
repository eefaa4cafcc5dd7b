"""Reads units ahead of need, in threads, within a bound of bytes, in exactly the order asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from nbplat.clock import Clock
from nbplat.errors import Conflict, NbplatError, RemoteError, SetupError, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.training.join import Joined
from nbplat.training.join.plan import Unit

__all__ = ["UnitReader"]

_ATTEMPTS = 3


class UnitReader:
    """Joins units in threads.

    Args:
        read: Joins one unit; called from several threads.
        threads: Units that are joined at once.
        ahead_bytes: Estimated bytes of units that are joined before they are asked for; one is, whatever its size.
    """

    def __init__(self, read: Callable[[Unit], Joined], *, threads: int, ahead_bytes: int, clock: Clock) -> None:
        self._read, self._threads, self._ahead, self._clock = read, threads, ahead_bytes, clock
        self.wait_s = 0.0

    def units(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, Joined]]:
        """Each unit with its rows, in order.

        Raises:
            NbplatError: what joining a unit breaks, naming the unit.
        """
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="nbplat-join")
        pending: deque[tuple[Unit, Future[Joined]]] = deque()
        upcoming = iter(units)
        following = next(upcoming, None)
        try:
            while following is not None or pending:
                held = sum(unit.decoded_bytes for unit, _ in pending)
                while following is not None and len(pending) <= self._threads:
                    if pending and held + following.decoded_bytes > self._ahead:
                        break
                    held += following.decoded_bytes
                    pending.append((following, pool.submit(_joined, self._read, following)))
                    following = next(upcoming, None)
                unit, future = pending.popleft()
                started = self._clock.monotonic_s()
                joined = future.result()
                self.wait_s += self._clock.monotonic_s() - started
                # A future keeps its result for as long as it lives.
                del future
                yield unit, joined
                del joined
        finally:
            for _, future in pending:
                future.cancel()
            pool.shutdown(wait=True)


def _joined(read: Callable[[Unit], Joined], unit: Unit) -> Joined:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return read(unit)
        except KernelError as error:
            found = of_unit(from_record(error.record()), unit)
            # What another system failed at may succeed a moment later; all else fails the same way again.
            if attempt == _ATTEMPTS or not isinstance(found, RemoteError):
                raise found from None
        except MemoryError:
            raise SetupError(
                "memory.full",
                f"the machine ran out of memory while {unit.name or 'the whole table'} was joined",
                fix="plan with a smaller max_unit_bytes, and prefetch fewer bytes",
            ) from None
    raise AssertionError("unreachable")


def of_unit(error: NbplatError, unit: Unit) -> NbplatError:
    """The error with the unit that it is about; a file that is gone says why that can be."""
    name = unit.name or "the whole table"
    if error.code == "file.gone":
        return Conflict(
            "training.file_gone",
            f"a file of {name} is gone: its snapshot was expired, or its staged run swept, after this was planned",
            fix="plan again; hold() a plan while it is used, which tags its snapshots",
            where=error.where,
        )
    if name in str(error):
        return error
    return type(error)(
        error.code,
        f"{error.args[0]} (while {name} was joined)",
        fix=error.fix,
        where=error.where,
        detail_id=error.detail_id,
    )
