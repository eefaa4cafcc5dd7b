"""The pieces of a plan: one unit a base data file, grouped into queries; and the sources beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.backfill.ports import BaseFile, TableFacts
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError, SetupError
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    from nbplat.backfill.plan import BackfillPlan

__all__ = ["SourcePlan", "UnitPlan", "cut_groups", "group_units", "plan_source", "plan_units"]

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
        strategy: How promotion lands: ``splice``.
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
    deleted = [file for file in files if file.deletes]
    if deleted:
        raise SetupError(
            "table.deletes",
            f"{len(deleted)} data files of {facts.pin.table} have row-level deletes, which cannot be aligned to",
            fix="compact them first (Spark: CALL system.rewrite_data_files), then plan again",
            where=deleted[0].path,
        )
    older = [file for file in files if file.spec_id != facts.spec_id]
    if older:
        raise SetupError(
            "table.specs",
            f"{len(older)} data files of {facts.pin.table} lie under an older partition spec",
            fix="rewrite them under the present one first (Spark: CALL system.rewrite_data_files), then plan again",
            where=older[0].path,
        )
    return tuple(
        UnitPlan(
            id=f"{number:05d}",
            path=file.path,
            rows=file.rows,
            file_bytes=file.file_bytes,
            read_bytes=sum(file.column_bytes.get(name, 0) for name in columns),
            partition=file.partition,
            strategy="splice",
            reason="no deletes apply: the old bytes are copied and the new column is appended",
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


def _decoded_bytes(unit: UnitPlan) -> int:
    return max(unit.read_bytes, 1) * _DECODED_PER_STORED


def cut_groups(plan: BackfillPlan, *, memory_bytes: int, slots: int) -> tuple[tuple[str, ...], ...]:
    """The plan's groups, cut into pieces that a slot has room for, small enough to busy every slot.

    A body over the whole window stays one group.
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
