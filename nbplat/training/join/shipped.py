"""A plan's units as other processes join them: each with its task, and with how to count its rows."""

from __future__ import annotations

from collections.abc import Sequence

from nbplat.errors import RequestError
from nbplat.remote.training.ray_shard import ShardUnit
from nbplat.remote.training.ray_unit import Piece
from nbplat.training.join.order import Order, windows_of
from nbplat.training.join.plan import JoinPlan, Unit
from nbplat.training.join.tasks import TaskMaker

__all__ = ["ATTEMPTS", "pieces_of", "shipped_unit", "shipped_units"]

ATTEMPTS = 3
"""Workers that may die under one unit before it is given up."""


class _Units:
    """What `windows_of` asks of a plan."""

    def __init__(self, units: Sequence[ShardUnit]) -> None:
        self.units = units


def shipped_units(plan: JoinPlan, maker: TaskMaker) -> list[ShardUnit]:
    """All units of a plan, in its order.

    Raises:
        RequestError: ``training.not_shipped``: the plan joins what only this process can.
        Conflict: a snapshot that is gone.
    """
    if plan.sequences:
        raise RequestError(
            "training.not_shipped",
            "sequences are joined in this process alone, and this plan has some",
            fix="read it here: batches(…), with runner='ray' as well",
        )
    return [shipped_unit(plan, maker, unit) for unit in plan.units]


def shipped_unit(plan: JoinPlan, maker: TaskMaker, unit: Unit) -> ShardUnit:
    """One of them."""
    task = maker.task(unit)
    exact = not plan.time and not any(file.deletes for file in unit.files)
    counting = None if exact else maker.counting(unit)
    return ShardUnit(unit.name, unit.rows, unit.decoded_bytes, task["files"], task, counting)


def pieces_of(units: Sequence[ShardUnit], order: Order, epoch: int) -> list[Piece]:
    """The windows of an epoch, in its order."""
    found = []
    for window in windows_of(_Units(units), order, epoch):
        chosen = tuple(units[at] for at in window.units)
        rows = window.rows if all(unit.counting is None for unit in chosen) else None
        found.append(Piece(chosen, window.number, order.shuffle, order.seed, order.window_units, epoch, ATTEMPTS, rows))
    return found
