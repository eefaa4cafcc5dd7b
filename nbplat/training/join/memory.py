"""Whether a pass fits in memory, before anything of it is read."""

from __future__ import annotations

from nbplat.errors import SetupError
from nbplat.remote.training.order import Order, windows_of
from nbplat.training.join.plan import JoinPlan, Unit

__all__ = ["check_memory"]


def check_memory(plan: JoinPlan, order: Order, epoch: int, limit_bytes: int) -> None:
    """Return when every window of a pass fits, by the plan's estimate of its units.

    Args:
        limit_bytes: What decoded rows may take; 0 sets no bound.

    Raises:
        SetupError: ``training.memory``, naming the unit or the window, with what mends it.
    """
    if not limit_bytes:
        return
    for window in windows_of(plan, order, epoch):
        units = [plan.units[at] for at in window.units]
        largest = max(units, key=lambda unit: unit.decoded_bytes)
        if largest.decoded_bytes > limit_bytes:
            raise _too_large(largest, plan.spec.max_unit_bytes, limit_bytes)
        size = sum(unit.decoded_bytes for unit in units)
        if size > limit_bytes:
            fits = max(limit_bytes // largest.decoded_bytes, 1)
            raise SetupError(
                "training.memory",
                f"a window of {len(units)} units takes about {_megabytes(size)} decoded, limits.memory_bytes allows"
                f" {_megabytes(limit_bytes)}",
                fix=f"give window={fits}, plan with a smaller max_unit_bytes, or raise limits.memory_bytes",
            )


def _too_large(unit: Unit, max_unit_bytes: int, limit_bytes: int) -> SetupError:
    """A unit above both limits is one row group; one below its own was not asked to be cut."""
    name = unit.name or "the whole table"
    size = f"takes about {_megabytes(unit.decoded_bytes)} decoded, limits.memory_bytes allows {_megabytes(limit_bytes)}"
    if unit.decoded_bytes <= max_unit_bytes:
        fix = f"plan with max_unit_bytes={limit_bytes // 4}, which cuts it by row groups, or raise limits.memory_bytes"
        return SetupError("training.memory", f"too little memory for one bucket: {name} {size}", fix=fix)
    return SetupError(
        "training.memory",
        f"too little memory for one row group: {name} {size}, and a row group is the least that is read",
        fix="raise limits.memory_bytes, or rewrite the table with smaller row groups (write.parquet.row-group-limit)",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} bytes"
