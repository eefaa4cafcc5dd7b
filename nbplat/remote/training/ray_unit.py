"""One unit, or one window of units, joined in a task of Ray."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from nbplat.remote.failure import KernelError, record_of

from .ahead import read_unit, shown_unit
from .join import Joined, join
from .mix import mixed
from .order import Order, row_order
from .ray_shard import ShardUnit

__all__ = ["Piece", "get_ready", "joined_or_error", "knows_attempts", "lost_worker", "piece_rows"]

# What is handed on at once.
_CHUNK_ROWS = 1 << 16


class Piece(NamedTuple):
    """A window of a pass, as one task reads it.

    Attributes:
        units: In the order in which their rows are put together.
        number: Of the window; with seed and epoch it decides the order of the rows.
        attempts: Workers that may die under it.
        rows: Exact rows; None where dates or deletes leave fewer than the files hold.
    """

    units: tuple[ShardUnit, ...]
    number: int
    shuffle: str
    seed: int
    window_units: int
    epoch: int
    attempts: int
    rows: int | None


def joined_or_error(unit: ShardUnit) -> tuple[Joined | None, dict[str, Any] | None]:
    """The unit's rows, or the record of what went wrong: an exception of ours would come back in one of Ray's."""
    try:
        return read_unit(_read, unit), None
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return None, record_of(exc)


def piece_rows(piece: Piece) -> Iterator[pa.Table]:
    """The rows of a window in their order, in tables of a bounded size.

    Raises:
        KernelError: what joining a unit breaks; ``ray.worker``: too many workers have died under this piece.
    """
    if _attempt() >= piece.attempts:
        raise lost_worker(piece.units, piece.attempts)
    order = Order(piece.shuffle, piece.seed, piece.window_units)
    tables = [read_unit(_read, unit).table for unit in piece.units]
    rows = sum(table.num_rows for table in tables)
    places = row_order(order, piece.epoch, piece.number, rows)
    if places is None or not rows:
        yield pa.concat_tables(tables)
        return
    table = mixed(tables, places)
    for start in range(0, rows, _CHUNK_ROWS):
        yield table.slice(start, _CHUNK_ROWS)


def lost_worker(units: Sequence[Any], attempts: int, why: str = "", *, memory: bool = False) -> KernelError:
    """The error of units under which worker after worker has died."""
    shown = "; ".join(shown_unit(unit) for unit in units)
    times = "once" if attempts == 1 else f"{attempts} times"
    said = f": {why}" if why else ""
    fix = (
        "plan with a smaller max_unit_bytes, which cuts units by row groups, and use a smaller window; a single row "
        "group that is too large must be written smaller, or gets a worker with more memory"
    )
    if memory:
        return KernelError(
            "memory.full", f"a Ray worker ran out of memory over {shown}{said}", fix=fix, kind="SetupError"
        )
    return KernelError(
        "ray.worker", f"the Ray worker died {times} while it joined {shown}{said}", fix=fix, kind="RemoteError"
    )


def _read(unit: ShardUnit) -> Joined:
    return join(unit.task)


def get_ready() -> None:
    """Import what reading a dataset takes, in a worker: that is most of the time to its first batch."""
    import ray.data  # noqa: F401 - the import is the work


def knows_attempts() -> bool:
    """Whether this Ray tells a task how often it was begun before: it does so by no public name."""
    try:
        inside: Any = importlib.import_module("ray._raylet")
    except ImportError:
        return False
    return hasattr(getattr(inside, "CoreWorker", None), "get_current_task_attempt_number")


def _attempt() -> int:
    """How often this task was begun before; 0 outside of Ray, or where Ray does not tell (see `knows_attempts`)."""
    if "ray" not in sys.modules:
        return 0
    try:
        from ray._private.worker import global_worker

        worker: Any = global_worker
        return int(worker.core_worker.get_current_task_attempt_number())
    except Exception:  # noqa: BLE001 - it is no public name of Ray: without it, the bound of the dataset's tasks holds
        return 0
