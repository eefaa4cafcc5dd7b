"""The pieces of a plan: one unit a base data file, grouped into queries; and the sources beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.backfill.ports import BaseFile, TableFacts
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    from nbplat.backfill.plan import BackfillPlan

__all__ = ["SourcePlan", "UnitPlan", "closed_groups", "cut_groups", "group_units", "plan_source", "plan_units"]

_INTACT = "no deletes apply: the old bytes are copied and the columns are appended"
_DELETED = "deletes apply: its live rows are decoded and written anew, as a new file would escape the deletes"
_SHARE_OF_MEMORY = 8
_PIECES_A_SLOT = 4
# Below this a piece's own cost (a query, a scan of every source) outweighs what working side by side saves.
_PIECE_BYTES = 8 << 20
_DECODED_PER_STORED = 4  # Arrow bytes per compressed Parquet byte, a cautious mean of plain tables


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Another table that the body reads: pinned, with the columns it needs.

    Attributes:
        read_bytes: Exact compressed bytes of those columns, from the manifests.
    """

    pin: SnapshotPin
    columns: tuple[str, ...]
    rows: int
    files: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """One base data file: the piece that is staged once and promoted once.

    Attributes:
        id: ``00000``, ``00001``, … in path order.
        read_bytes: Exact compressed bytes of the base columns to read.
        rows: Physical rows; deletes are not taken off.
        strategy: How promotion lands, as far as the planned snapshot tells: ``splice`` or ``rewrite``.
        reason: Why that strategy.
    """

    id: str
    path: str
    rows: int
    file_bytes: int
    read_bytes: int
    partition: str
    strategy: str
    reason: str


def plan_units(
    files: tuple[BaseFile, ...], columns: tuple[str, ...], facts: TableFacts, spec: BackfillSpec
) -> tuple[UnitPlan, ...]:
    if not files:
        raise RequestError(
            "window.outside",
            f"the window {spec.window} meets no data file of {facts.pin.table}",
            fix="choose --from and --to inside the table's time span (%backfill plan without a window shows it)",
        )
    return tuple(
        UnitPlan(
            id=f"{number:05d}",
            path=file.path,
            rows=file.rows,
            file_bytes=file.file_bytes,
            read_bytes=sum(file.column_bytes.get(name, 0) for name in columns),
            partition=file.partition,
            strategy=("rewrite" if file.deletes else "splice"),
            reason=_DELETED if file.deletes else _INTACT,
        )
        for number, file in enumerate(files)
    )


def plan_source(files: tuple[BaseFile, ...], facts: TableFacts, columns: tuple[str, ...]) -> SourcePlan:
    read_bytes = sum(file.column_bytes.get(name, 0) for file in files for name in columns)
    return SourcePlan(facts.pin, columns, sum(file.rows for file in files), len(files), read_bytes)


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
