from __future__ import annotations

from dataclasses import dataclass

from nbplat.terms.snapshot_pin import SnapshotPin
from nbplat.terms.staged_file import StagedFile

__all__ = ["StagedColumns"]


@dataclass(frozen=True, slots=True)
class StagedColumns:
    """What a staged backfill run offers to readers before it is promoted.

    Attributes:
        run_id: ``spend_90d@1``.
        base: The snapshot of the base table the run was planned on.
        columns: Name and Iceberg type of each new column, e.g. ``(("spend_90d", "double"),)``.
        files: One staged file per base data file, in plan order; complete for the base snapshot.
        promoted: True when the base table's main branch holds the columns already.
        keys: Columns that identify a row; the staged files hold them as well.
        table: The staging table; empty when it is not known.
        landed: The files that its columns were put into, by it or by runs that it extends or that extend it, see
            `root_of`; empty before any promotion.
    """

    run_id: str
    base: SnapshotPin
    columns: tuple[tuple[str, str], ...]
    files: tuple[StagedFile, ...]
    promoted: bool
    keys: tuple[str, ...] = ()
    table: str = ""
    landed: tuple[str, ...] = ()
