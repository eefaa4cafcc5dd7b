"""Which units are computed together: by what a body must see at once, and by what there is memory for."""

from __future__ import annotations

from collections.abc import Sequence

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.table_facts import BaseFile
from nbplat.backfill.units import UnitPlan

__all__ = ["closed_groups", "cut_groups", "group_units"]

_SHARE_OF_MEMORY = 8
_PIECES_A_SLOT = 4
# Below this a piece's own cost (a query, a scan of every source) outweighs what working side by side saves.
_PIECE_BYTES = 8 << 20
_DECODED_PER_STORED = 4  # Arrow bytes per compressed Parquet byte, a cautious mean of plain tables


def group_units(units: tuple[UnitPlan, ...], budget_bytes: int) -> tuple[tuple[str, ...], ...]:
    """Cut the units into runs whose decoded columns fit the budget; a unit above it stands alone."""
    groups: list[list[str]] = []
    filled = 0
    for unit in units:
        size = _decoded_bytes(unit)
        if not groups or filled + size > budget_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(unit.id)
        filled += size
    return tuple(tuple(group) for group in groups)


def closed_groups(
    units: tuple[UnitPlan, ...], files: tuple[BaseFile, ...], partition_columns: Sequence[str], group_by: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """Cut the units so that the rows of a group of `group_by` values never lie on both sides of a cut.

    Where the partition is made of grouped columns alone, a group lies in one partition, so that whole partitions
    are cut; any other table is one piece.

    Args:
        files: The units' files, in their order.
        group_by: Columns of a Python body's groups; empty for a body that must see the whole window.
    """
    whole = (tuple(unit.id for unit in units),)
    within = bool(partition_columns) and set(partition_columns) <= set(group_by)
    if not within or len({file.spec_id for file in files}) != 1:
        return whole
    pieces: list[list[UnitPlan]] = []
    for unit in units:
        held = sum(map(_decoded_bytes, pieces[-1])) if pieces else 0
        if pieces and (pieces[-1][-1].partition == unit.partition or held + _decoded_bytes(unit) < _PIECE_BYTES):
            pieces[-1].append(unit)
        else:
            pieces.append([unit])
    seen = [{unit.partition for unit in piece} for piece in pieces]
    # Paths that do not go by partition would put one partition into two pieces.
    if sum(map(len, seen)) != len(set().union(*seen)):
        return whole
    return tuple(tuple(unit.id for unit in piece) for piece in pieces)


def _decoded_bytes(unit: UnitPlan) -> int:
    return max(unit.read_bytes, 1) * _DECODED_PER_STORED


def cut_groups(plan: BackfillPlan, *, memory_bytes: int, slots: int) -> tuple[tuple[str, ...], ...]:
    """The plan's groups, cut into pieces that a slot has room for, small enough to busy every slot.

    A body that must see the whole window, or whole groups of rows, keeps the plan's groups.
    """
    if not plan.row_wise:
        return plan.groups
    total = sum(_decoded_bytes(unit) for unit in plan.units)
    # Each piece scans the sources again, so there are no more than the slots need.
    share = total // (slots if plan.sources else slots * _PIECES_A_SLOT)
    budget = min(memory_bytes // _SHARE_OF_MEMORY // slots, max(share, _PIECE_BYTES))
    units = {unit.id: unit for unit in plan.units}
    return tuple(
        piece for group in plan.groups for piece in group_units(tuple(units[unit_id] for unit_id in group), budget)
    )
