"""Committing: the one part that writes to the catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbplat.backfill.ports.files import Addition
from nbplat.backfill.table_facts import Column
from nbplat.terms import SnapshotPin, StagedFile

__all__ = ["BranchHead", "FileChange", "Publication", "Publisher", "SchemaChange", "TableFile", "TableView"]


@dataclass(frozen=True, slots=True)
class TableFile:
    """A live data file of main.

    Attributes:
        rows: Physical rows (deletes not taken off).
        deletes: Delete files that apply to it; empty when no row can be deleted.
        columns: Field ids of the top-level columns that it holds.
        nulls: Field ids of those that are null in every row.
    """

    path: str
    rows: int
    deletes: tuple[str, ...] = ()
    columns: frozenset[int] = frozenset()
    nulls: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TableView:
    """Main at one moment, to build the next snapshot on.

    Attributes:
        pin: Main's snapshot and the current schema.
        files: In path order.
        columns: Field ids of the current top-level columns, by name.
        fields: Every field of the current schema, nested ones too: path -> field id.
        names: Path -> field id in files without field ids.
        handle: The publisher's own.
    """

    pin: SnapshotPin
    files: tuple[TableFile, ...]
    columns: Mapping[str, int]
    fields: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    names: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    handle: Any = None


@dataclass(frozen=True, slots=True)
class BranchHead:
    """A snapshot on a run's branch, to be looked at and then published.

    Attributes:
        pin: The snapshot, with the schema that main will have.
        handle: The publisher's own.
    """

    pin: SnapshotPin
    handle: Any = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A live file out, another in: same rows but those that are deleted, same partition.

    Attributes:
        action: ``splice``, ``rewrite`` or ``restore``.
        rows: Physical rows of the new file.
        additions: What was spliced in.
        drop: Field ids that the new file lacks.
    """

    live_path: str
    new_path: str
    action: str
    rows: int
    additions: tuple[Addition, ...] = ()
    drop: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """Columns that a publish adds to the current schema and takes out of it.

    Attributes:
        add: New columns; their ids are in `field_ids`.
        field_ids: Of new columns and the fields inside them, by path.
        remove: Top-level field ids; one that is gone already is no error.
        keep: Columns that must still be there under their ids: name -> field id.
    """

    add: tuple[Column, ...] = ()
    field_ids: Mapping[str, int] = field(default_factory=dict)
    remove: frozenset[int] = frozenset()
    keep: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publication:
    """The outcome of a publish.

    Attributes:
        snapshot_id: What main points at now.
        previous_snapshot_id: What it pointed at before.
        schema_id: The current schema now.
        previous_schema_id: The current schema before.
        field_ids: Field id of each column the run added; empty after a revert.
        replays: How often main had moved and the swap was replayed.
        already: True when an earlier try had published it already.
    """

    snapshot_id: int
    previous_snapshot_id: int
    schema_id: int
    previous_schema_id: int
    field_ids: Mapping[str, int] = field(default_factory=dict)
    replays: int = 0
    already: bool = False

    def record(self) -> dict[str, Any]:
        return {
            "snapshot_id": self.snapshot_id,
            "previous_snapshot_id": self.previous_snapshot_id,
            "schema_id": self.schema_id,
            "previous_schema_id": self.previous_schema_id,
            "field_ids": dict(self.field_ids),
            "replays": self.replays,
            "already": self.already,
        }


class Publisher(Protocol):
    """The one committer: the only part that writes to the catalog."""

    def commit_staging(
        self,
        base: SnapshotPin,
        run_id: str,
        columns: Sequence[Column],
        keys: Sequence[str],
        files: Sequence[StagedFile],
        provenance: Mapping[str, str],
    ) -> tuple[str, int]:
        """Make the run's staging table and append its files once; returns its name and snapshot id."""

    def drop_staging(self, table: str) -> None:
        """Drop a staging table with its files; nothing happens when it is gone."""

    def open(
        self, base: SnapshotPin, branch: str, change: SchemaChange, wanted: Mapping[str, int], guard: Callable[[], None]
    ) -> dict[str, int]:
        """Begin: take away branches of earlier tries, make this one at main, and reserve field ids.

        Args:
            change: `add` and `keep` count.
            wanted: Ids that an earlier try reserved; they are used again where they are still ours.
            guard: Called right before every commit; raises when this try was overtaken.

        Returns:
            Field ids of the new columns and the fields inside them, by path.

        Raises:
            Conflict: ``column.exists``, ``column.dropped``, ``table.replaced``.
        """

    def column_ids(self, base: SnapshotPin, change: SchemaChange) -> dict[str, int]:
        """Ids of the columns of `change.keep` now, by name; refuses as `open` does. No effect."""

    def published(self, base: SnapshotPin, run_id: str, step: str = "promote") -> Publication | None:
        """The newest step of this run that moved main, when it was of this kind; None otherwise."""

    def later_runs(self, base: SnapshotPin, run_id: str, field_ids: Collection[int]) -> tuple[str, ...]:
        """Promoted runs, newest first, that touched one of the columns after this run did."""

    def view(self, base: SnapshotPin) -> TableView:
        """Main now."""

    def put(
        self,
        view: TableView,
        branch: str,
        files: Sequence[FileChange],
        schema: SchemaChange,
        properties: Mapping[str, str],
        guard: Callable[[], None],
        *,
        before: int | None = None,
    ) -> BranchHead | None:
        """Put a snapshot on the branch, on top of the view.

        Args:
            before: Snapshot that holds the records of restored files.

        Returns:
            The branch; None when main or the schema moved since the view.

        Raises:
            Conflict: the branch was taken away (``lease.lost``), or the schema clashes.
        """

    def publish(
        self, head: BranchHead, tag: str | None, guard: Callable[[], None], keep_schemas: Collection[int] = ()
    ) -> Publication | None:
        """Move main to the branch by compare-and-swap and drop the branch; None when main or the schema moved.

        Args:
            tag: Name to give to the snapshot before; None gives none.
            keep_schemas: Schema ids that live runs read with; others that no snapshot refers to are pruned.
        """

    def restorable(self, base: SnapshotPin, snapshot_id: int) -> frozenset[str]:
        """Data files of a snapshot; empty when it was expired."""

    def sweep(self, base: SnapshotPin, *, run_id: str | None = None, branch: str | None = None) -> tuple[str, ...]:
        """Remove branches of promotions: everyone's, or a run's, or just one; returns what was removed."""
