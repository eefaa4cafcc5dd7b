"""The pieces of a plan: one unit a base data file, and the sources beside them."""

from __future__ import annotations

from dataclasses import dataclass

from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import BaseFile, TableFacts
from nbplat.errors import RequestError
from nbplat.terms import SnapshotPin

__all__ = ["SourcePlan", "UnitPlan", "plan_source", "plan_units"]

_INTACT = "no deletes apply: the old bytes are copied and the columns are appended"
_DELETED = "deletes apply: its live rows are decoded and written anew, as a new file would escape the deletes"


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
