"""What a backfill asks of the world: tables, an engine, files. `nbplat.compose` plugs adapters in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.remote.task import Task
from nbplat.terms import SnapshotPin, StagedFile, TableName, Window

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.backfill.plan import BackfillPlan

__all__ = [
    "Addition",
    "AuditLog",
    "BaseFile",
    "BranchHead",
    "Column",
    "Engine",
    "Engines",
    "FileChange",
    "FileLayout",
    "FileRead",
    "FrameTables",
    "LiveData",
    "LiveTable",
    "Publication",
    "Publisher",
    "PythonBodies",
    "Runner",
    "SchemaChange",
    "Splicer",
    "StagedWriter",
    "Sweeper",
    "TableFacts",
    "TableFile",
    "TableView",
    "Tables",
]


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level column.

    Attributes:
        type: Iceberg type as text: ``long``, ``double``, ``timestamptz``, ``list<float>``.
        required: True when it may hold no null.
        field_id: Of a column that the table has; None for a new one.
    """

    name: str
    type: str
    required: bool = False
    field_id: int | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What planning needs to know of a table, all from metadata.

    Attributes:
        pin: The state the facts are of.
        time_column: Source column of the time partition; None when the table has none.
        partition_columns: Source columns of every partition field, in spec order.
        partitioning: The partition spec in words, ``month(label_ts), bucket[4](example_id)``.
        spec_id: Of the current partition spec; files keep the spec they were written under.
        format_version: Iceberg table format, 1 to 3.
        rows, files, file_bytes: Totals of the snapshot.
    """

    pin: SnapshotPin
    columns: tuple[Column, ...]
    time_column: str | None
    partition_columns: tuple[str, ...]
    partitioning: str
    spec_id: int
    format_version: int
    rows: int
    files: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A data file, from its manifest.

    Attributes:
        path: URI as the manifest spells it.
        rows: Physical rows (deletes not taken off).
        column_bytes: Compressed bytes per column name, exact; empty when the writer kept no sizes.
        partition: The partition in words, ``label_ts_month=2011-03, example_id_bucket=1``.
        deletes: Delete files of every kind that apply to it: position deletes, vectors, equality deletes.
        time_bounds: Lower and upper bound of the time column, ISO; None when the writer kept none.
    """

    path: str
    rows: int
    file_bytes: int
    column_bytes: Mapping[str, int]
    partition: str
    spec_id: int
    deletes: int
    time_bounds: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class FileRead:
    """What a reader of one base file must know that the file does not say.

    Attributes:
        path: URI as the manifest spells it.
        rows: Physical rows.
        constants: Column name -> value of every row, for columns that the file itself may lack: identity
            partition values (files that add_files took in) and defaults of columns added later. Values
            are as ``pa.scalar(value, type)`` takes them; a column that the file holds is read from it.
        deleted: Physical positions of the deleted rows, sorted, as little-endian int64; empty: all live.
    """

    path: str
    rows: int
    constants: Mapping[str, Any]
    deleted: bytes


@dataclass(frozen=True, slots=True)
class LiveData:
    """A data file of main as it is now.

    Attributes:
        rows: Physical rows.
        partition: The partition in words.
        deletes: Delete files of every kind that apply to it.
        sequence_number: Data sequence number.
        filled: Ids of the top-level fields that hold a value in some row; None when the writer kept no counts.
    """

    path: str
    rows: int
    file_bytes: int
    partition: str
    spec_id: int
    deletes: int
    sequence_number: int
    filled: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class LiveTable:
    """Main as it is now: what it is pinned at, and its data files with at least one row, in path order."""

    pin: SnapshotPin
    files: tuple[LiveData, ...]


class Tables(Protocol):
    """Read-only view of a catalog."""

    def describe(self, table: TableName) -> TableFacts:
        """Raises NotFound (with near names)."""

    def files(
        self, pin: SnapshotPin, *, time_column: str | None = None, window: Window | None = None
    ) -> tuple[BaseFile, ...]:
        """Data files that can hold rows of the window, in path order, from manifests alone.

        Raises SetupError when one of them is encrypted, or it or one of its deletes is not Parquet.
        """

    def read(self, pin: SnapshotPin, columns: Sequence[str], *, paths: Sequence[str] | None = None) -> pa.Table:
        """Live rows of the given files (None: all), files in path order, rows in file order.

        Raises Conflict when the snapshot has been expired or the table replaced.
        """

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema that `read` gives; every field, nested ones too, carries ``PARQUET:field_id``."""

    def storage(self, pin: SnapshotPin) -> dict[str, str]:
        """Options with which a worker opens the table's files; empty for local ones. For memory only."""

    def reads(self, pin: SnapshotPin, paths: Sequence[str] | None = None) -> list[FileRead]:
        """How to read the given files apart from this port, in the order given; None: all, in path order.

        Raises Conflict as `read` does; reads delete files, but no data file that none applies to.
        """

    def names(self, pin: SnapshotPin) -> Mapping[int, tuple[str, ...]]:
        """Field id -> the names it may have in files without field ids, nested fields by their own names.

        From the table's name mapping; without one, the names of the pinned schema.
        """

    def live(self, table: TableName) -> LiveTable:
        """The present main branch. Raises NotFound."""

    def live_paths(self, table: TableName) -> Mapping[str, int]:
        """Data files of the present main branch and how many delete files can touch each."""


class FrameTables(Protocol):
    """Stores DataFrames as tables."""

    def store(self, table: TableName, rows: pa.Table) -> bool:
        """Make the table with these rows; False when it was there."""

    def drop(self, table: TableName) -> None:
        """Drop a frame's table with its files; nothing happens when it is gone."""

    def stored(self) -> list[str]:
        """Every stored frame, sorted."""


class Engine(Protocol):
    """Runs a body over Arrow tables."""

    name: str

    def prepare(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """Spark SQL to the engine's own; raises RequestError for what it does not run.

        `types` maps table (``base`` and each source by full name) to column to Spark SQL type.
        """

    def result_columns(self, query: str, schemas: Mapping[str, pa.Schema]) -> tuple[Column, ...]:
        """Bind without data. Raises RequestError for types that do not fit."""

    def run(self, query: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Run; raises DataError for what the data makes impossible (division by zero, overflow)."""


class AuditLog(Protocol):
    """The lakehouse table of every audit's findings, made when the first is written."""

    def append(self, rows: Sequence[Mapping[str, Any]], *, run: str, job: str) -> str:
        """Add one row per finding, once for a job however often it is tried; returns the table's name.

        Columns: run, job, plan_hash, table, rule, column, level, passed, message, value, threshold
        and at (an aware datetime). Raises RemoteError when the catalog cannot be written.
        """


class PythonBodies(Protocol):
    """Runs Python bodies in interpreters of their own, while a run is planned."""

    def settings(self, env: str, interpreter: str) -> dict[str, Any]:
        """What a body's record says of where it runs: ``interpreter``, ``folder``, ``limit_s``.

        Args:
            env: Name of an environment, or the path of an interpreter or of an environment's folder; wins.
            interpreter: Path of an interpreter; both empty take the one of this process.

        Raises NotFound for an unknown name, SetupError for a path that leads to none.
        """

    def versions(self, record: dict[str, Any]) -> str:
        """The interpreter's version and those of what it needs; raises SetupError when it cannot run a body."""

    def run(self, record: dict[str, Any], batch: pa.Table) -> pa.Table:
        """Keys and new columns of a batch; without a ``schema`` in the types the function gives.

        Raises DataError for what the function does wrong, SetupError for its interpreter.
        """


class Runner(Protocol):
    """Runs pieces of staging: threads here, Ray tasks, Spark tasks."""

    @property
    def name(self) -> str:
        """The engine it belongs to: ``local``, ``ray``, ``spark``."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at once; a slot has its share of the memory."""

    @property
    def whole(self) -> bool:
        """True when it takes all there is to stage in one task, and reads base and sources itself."""

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """Run tasks with `nbplat.remote.kernel.stage`; yield each task's results as it ends.

        A task is pulled only when a slot is free for it (pulling claims its units). Closing the
        iterator waits for what is under way. A task that a worker's death took yields an error
        record per file.
        """


class Engines(Protocol):
    """The engines beside ``local``."""

    def engine(self, name: str) -> Engine:
        """What plans and audits know of an engine."""

    def check(self, plan: BackfillPlan, staged: str) -> None:
        """Return when the plan's engine can run it.

        Args:
            staged: Folder of the run's staged files; a location.

        Raises:
            SetupError: the engine is not installed, or its workers do not reach the files.
        """

    def runner(self, plan: BackfillPlan, folder: Path, say: Callable[[str], None]) -> AbstractContextManager[Runner]:
        """What runs the plan's pieces; it starts what it needs and ends it with the block.

        Args:
            folder: For what lasts as long as the block.
            say: Takes lines for the job's log.
        """


class StagedWriter(Protocol):
    """Where staged files lie; the staging kernel writes them."""

    def folder(self, run_id: str, table: str) -> str:
        """Where the staged files of a run of a table go; a location, which need not exist.

        Beside the tables when they lie on an object store, on this machine otherwise.
        """

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file back."""

    def free_bytes(self, table: str) -> int | None:
        """Room where staged files of a table go; None when the store has no limit."""


@dataclass(frozen=True, slots=True)
class Addition:
    """Columns of one aligned file that a new data file takes in.

    Attributes:
        path: An aligned file: the same rows in the same order, cut into the same row groups.
        field_ids: Column of that file -> its field id in the table. A nested column brings the ids of all
            its fields, by the dotted paths that Iceberg gives them: ``tags``, ``tags.element``; ``m``,
            ``m.key``, ``m.value``; ``s``, ``s.x``.
    """

    path: str
    field_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FileLayout:
    """What a data file's own footer says.

    Attributes:
        group_rows: Rows of each row group.
        columns: Top-level columns by their name in the file -> field id; None where it names none.
        file_bytes: Size of the file.
    """

    group_rows: tuple[int, ...]
    columns: Mapping[str, int | None]
    file_bytes: int


class Splicer(Protocol):
    """Makes the file that replaces a live data file."""

    def target_path(self, base_path: str, run_id: str, fence: int) -> str:
        """Where the new file goes: beside the base file, under a name no other try uses."""

    def free_bytes(self, base_path: str) -> int | None:
        """Room where the file's replacement goes; None when the store has no limit."""

    def layout(self, path: str) -> FileLayout:
        """Read a footer. Raises DataError ``parquet.damaged`` or ``parquet.encrypted``."""

    def splice(
        self,
        base_path: str,
        additions: Sequence[Addition],
        out_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> dict[str, int]:
        """Copy a file, add columns to it and leave others out; no value is decoded.

        `drop` holds field ids of top-level columns (ids the file does not have are passed over). A column
        whose name another field of the file bears can be added when that one is dropped in the same pass.
        `name_ids` is for files without field ids: path of each field -> id (``("tags", "element")``); columns
        it does not name are left out. Files with ids do not need it and it is not looked at.

        Returns ``copied_bytes``, ``added_bytes``, ``file_bytes`` and ``dead_bytes``: of the bytes copied,
        those of columns left out.
        """

    def rewrite(
        self,
        read: FileRead,
        schema: pa.Schema,
        added: pa.Table,
        out_path: str,
        *,
        names: Mapping[int, Sequence[str]] | None = None,
    ) -> dict[str, int]:
        """Decode the live rows of a file and write them with more columns; returns what `splice` returns.

        Args:
            schema: The columns to keep, every field with ``PARQUET:field_id``; one that the file does not
                hold is left out.
            added: One row per live row, in file order; every field with ``PARQUET:field_id``. Without a
                column when nothing is added.
            names: For a file without field ids: field id -> names it may have in the file.
        """

    def unchanged(
        self,
        base_path: str,
        additions: Sequence[Addition],
        new_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> str | None:
        """None when every kept chunk equals the base's and every new one its aligned file's; else the first unequal."""


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


class Sweeper(Protocol):
    """What an expiry asks of the catalog."""

    def staging_tables(self) -> dict[str, str]:
        """Every staging table of ours with its run."""

    def refs(self, table: str) -> tuple[str, ...]:
        """Branches and tags of a table but main; none when the table is gone."""

    def data_folders(self, table: str) -> tuple[str, ...]:
        """Locations of the folders that hold the table's data files, none inside another; none when it is gone."""

    def used(self, locations: Collection[str], *, skip: Collection[str] = ()) -> set[str]:
        """Those of the locations that a snapshot of any table of the catalog uses; the tables in `skip` aside."""

    def drop_staging(self, table: str) -> None:
        """Drop a staging table, not its files; nothing happens when it is gone."""

    def drop_refs(self, table: str, names: Sequence[str]) -> None:
        """Remove branches and tags in one commit; those that are gone are no error."""
