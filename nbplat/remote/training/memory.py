"""Whether a pass fits in memory, before anything of it is read."""

from __future__ import annotations

import heapq
import os
from typing import Any, NamedTuple

from nbplat.remote.failure import KernelError
from nbplat.remote.memory_limits import machine_bytes

from .option import at_least
from .order import Order

__all__ = ["AHEAD_BYTES", "Budget", "check_pass", "rank_budget"]

AHEAD_BYTES = 256 << 20
"""What is joined before it is asked for, unless a caller says otherwise or less is left."""


class Budget(NamedTuple):
    """What the decoded rows of a pass may take, where it is read.

    Attributes:
        limit_bytes: 0 sets no bound.
        allows: Who sets it, ending in a verb: "limits.memory_bytes allows".
        more: How there comes to be more.
    """

    limit_bytes: int
    allows: str = "limits.memory_bytes allows"
    more: str = "raise limits.memory_bytes"


def rank_budget(ranks_here: int, given_bytes: int | None = None) -> Budget:
    """What a rank may take of the machine that it is on.

    Args:
        ranks_here: Ranks that share the machine; 0 is not known: ``LOCAL_WORLD_SIZE`` (torchrun sets it), or one.
        given_bytes: What the caller allows; None shares the machine's memory, or the container's, equally.
    """
    if given_bytes is not None:
        return Budget(given_bytes, "memory_bytes allows", "raise memory_bytes")
    said = os.environ.get("LOCAL_WORLD_SIZE", "")
    ranks = ranks_here or (int(said) if said.isdigit() else 0) or 1
    share = f"the share of a rank, one of {ranks} on this machine, is" if ranks > 1 else "this machine has"
    return Budget(machine_bytes() // ranks, share, "run fewer ranks on a machine, or use one with more memory")


def check_pass(
    units: Any,
    order: Order,
    budget: Budget,
    *,
    max_unit_bytes: int,
    batch_rows: int = 0,
    ahead_bytes: int | None = 0,
    threads: int = 1,
) -> int:
    """Return what may be joined ahead of need, when every window and batch of every pass in this order fits.

    Sizes are the plan's estimates of its units. Which units a window mixes is another matter in each epoch: the largest
    ones are taken together, so that no training ends in its thirteenth epoch.

    Args:
        units: Has ``units``, each with ``name``, ``rows`` and ``decoded_bytes``.
        max_unit_bytes: By which the units were planned.
        batch_rows: Rows of a batch; 0 when it is not known.
        ahead_bytes: What a caller wants to be joined ahead; None takes `AHEAD_BYTES`, or what is left.
        threads: Units joined at once.

    Raises:
        KernelError: ``training.memory``, naming the unit, the window, the batch or what runs ahead, with the mend;
            ``training.option``: a negative `ahead_bytes`.
    """
    if ahead_bytes is not None:
        at_least(0, "ahead_bytes", ahead_bytes)
    limit = budget.limit_bytes
    if not limit:
        return AHEAD_BYTES if ahead_bytes is None else ahead_bytes
    together = order.window_units if order.shuffle == "window" else 1
    chosen = heapq.nlargest(together, units.units, key=lambda unit: unit.decoded_bytes)
    window_bytes = sum(unit.decoded_bytes for unit in chosen)
    if chosen and chosen[0].decoded_bytes > limit:
        raise _unit_too_large(chosen[0], max_unit_bytes, budget)
    if window_bytes > limit:
        fits = max(limit // chosen[0].decoded_bytes, 1)
        raise _refused(
            f"a window of {len(chosen)} units takes up to {_size(window_bytes)} decoded",
            f"give window={fits} (--window {fits}), {_plan_smaller(limit // len(chosen))}",
            budget,
        )
    _check_batch(units, batch_rows, budget)
    return _ahead(units, window_bytes, ahead_bytes, threads, budget)


def _check_batch(units: Any, batch_rows: int, budget: Budget) -> None:
    rows, size = sum(unit.rows for unit in units.units), sum(unit.decoded_bytes for unit in units.units)
    taken = min(batch_rows, rows) * size // max(rows, 1)
    if taken > budget.limit_bytes:
        fits = max(budget.limit_bytes * rows // size, 1)
        raise _refused(
            f"a batch of {min(batch_rows, rows):,} rows takes about {_size(taken)}",
            f"give batch_rows={fits} (--batch-rows {fits})",
            budget,
        )


def _ahead(units: Any, window_bytes: int, ahead_bytes: int | None, threads: int, budget: Budget) -> int:
    left = budget.limit_bytes - window_bytes
    if ahead_bytes is None:
        return min(AHEAD_BYTES, left)
    sizes = [unit.decoded_bytes for unit in units.units]
    waiting = min(ahead_bytes, max(sizes, default=0) * threads, sum(sizes) - window_bytes)
    if waiting > left:
        raise _refused(
            f"rows in use take about {_size(window_bytes)}, and {_size(waiting)} would be joined ahead of them",
            f"give ahead_bytes={left}, or leave it out",
            budget,
        )
    return ahead_bytes


def _unit_too_large(unit: Any, max_unit_bytes: int, budget: Budget) -> KernelError:
    """A unit above both limits is one row group; one below its own was not asked to be cut."""
    what = f"{unit.name or 'the whole table'} takes about {_size(unit.decoded_bytes)} decoded"
    if unit.decoded_bytes <= max_unit_bytes:
        smaller = f"{_plan_smaller(budget.limit_bytes // 4)}, which cuts it by row groups"
        return _refused(f"too little memory for one bucket: {what}", smaller, budget)
    return _refused(
        f"too little memory for one row group, the least that is read: {what}",
        "rewrite the table with smaller row groups (write.parquet.row-group-limit)",
        budget,
    )


def _plan_smaller(size: int) -> str:
    return f"plan with max_unit_bytes={max(size, 1)} (--max-unit-bytes {max(size, 1)})"


def _refused(what: str, mend: str, budget: Budget) -> KernelError:
    return KernelError(
        "training.memory",
        f"{what}, {budget.allows} {_size(budget.limit_bytes)}",
        fix=f"{mend}, or {budget.more}",
        kind="SetupError",
    )


def _size(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} bytes"
