"""What the join asks of tables, and what they tell: metadata for the plan, recipes for the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.terms import SnapshotPin, StagedColumns, Window

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.remote.training.join import Joined
    from nbplat.remote.training.ray_shard import ShardUnit
    from nbplat.remote.training.ray_unit import Piece
    from nbplat.remote.training.task import JoinFile

__all__ = ["JoinRuns", "JoinSource", "PartitionPart", "Pool", "RowGroup", "TableFile", "TableState"]


@dataclass(frozen=True, slots=True)
class PartitionPart:
    """One field of a partition spec.

    Attributes:
        source: Name of the source column at the pinned schema; empty when it was dropped.
        transform: ``bucket[16]``, ``day``, ``identity`` …
        kind: Iceberg type of the source.
    """

    source: str
    transform: str
    kind: str

    @property
    def buckets(self) -> int:
        """Bucket count; 0 for any other transform."""
        return int(self.transform[7:-1]) if self.transform.startswith("bucket[") else 0

    @property
    def of_time(self) -> bool:
        """True for a partition by time: a time transform, or a date as it is."""
        return self.transform in ("year", "month", "day", "hour") or (
            self.transform == "identity" and self.kind in ("date", "timestamp", "timestamptz")
        )


@dataclass(frozen=True, slots=True)
class TableFile:
    """A live data file.

    Attributes:
        path: As its manifest spells it.
        rows: Physical rows.
        deletes: Delete files that apply.
        spec: Key of `TableState.specs`.
        values: Partition values, one a field; numbers, texts, or None.
        words: The partition in words: ``dt_day=2026-11-01, id_bucket=3``; empty without partitions.
        period: The value of the time partition in words; ``all`` where there is none.
        groups: Row groups, as far as the manifest tells; 1 when it does not.
        filled: Names of columns with a value in some row; None when the manifest has no counts.
        nulls: Column -> nulls among the physical rows, where the manifest counts them.
        sizes: Column -> compressed bytes, where the manifest has them.
        bounds: Orders files of one partition by what they hold: the same for a file whose columns were added to.
    """

    path: str
    rows: int
    deletes: int
    spec: int
    values: tuple[Any, ...]
    words: str
    period: str
    groups: int
    filled: frozenset[str] | None
    nulls: Mapping[str, int]
    sizes: Mapping[str, int]
    bounds: str


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one snapshot, from metadata only.

    Attributes:
        columns: Name and Iceberg type, in schema order.
        specs: Partition specs that the files use, by id.
        files: In any order; with `JoinSource.state`'s window only those that can hold rows of it.
        metadata: Location of the table's metadata file.
        provenance: What the snapshot's summary says of nbplat's run: names without ``nbplat.``, texts.
    """

    pin: SnapshotPin
    columns: tuple[tuple[str, str], ...]
    specs: Mapping[int, tuple[PartitionPart, ...]]
    files: tuple[TableFile, ...]
    metadata: str
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group, from a footer.

    Attributes:
        least, greatest: Bounds of the column asked for; None when the file has none.
    """

    rows: int
    least: Any
    greatest: Any


class JoinSource(Protocol):
    """Tables and their files. Threads may share one."""

    def state(
        self,
        table: str,
        *,
        pin: SnapshotPin | None = None,
        time: str = "",
        window: Window | None = None,
        bounds_of: Sequence[str] = (),
    ) -> TableState:
        """The table now, or at a pin.

        Args:
            time, window: Leave files out that hold no row with ``time`` in the window.
            bounds_of: Columns whose bounds make `TableFile.bounds`.

        Raises NotFound for an unknown table; Conflict (``snapshot.expired``, ``table.replaced``) for a pin that is
        gone.
        """

    def standing(self, table: str) -> tuple[SnapshotPin, Mapping[str, str]] | None:
        """A table as it is now, with its snapshot's `TableState.provenance`; None when there is none."""

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema of columns at a pin, with field ids."""

    def names(self, pin: SnapshotPin) -> Mapping[int, Sequence[str]]:
        """Field id -> names it may have in files without field ids."""

    def storage(self, pin: SnapshotPin) -> Mapping[str, str]:
        """Options to open the table's files."""

    def recipes(self, pin: SnapshotPin, paths: Sequence[str]) -> list[JoinFile]:
        """What reading each file takes, deletes resolved; in the order of `paths`.

        Raises Conflict when the snapshot is gone, SetupError for files that cannot be read here.
        """

    def row_groups(self, pin: SnapshotPin, path: str, column: str) -> list[RowGroup]:
        """The row groups of a file, from its footer, with the bounds of a column (empty: without)."""

    def tag(self, pin: SnapshotPin, name: str) -> bool:
        """Tag a snapshot, so that expiring keeps it; False when the catalog does not allow it."""

    def untag(self, pin: SnapshotPin, name: str) -> None:
        """Take a tag away; nothing happens when it is gone."""


class JoinRuns(Protocol):
    """The ledger of backfill runs."""

    def staged_columns(self, run_id: str) -> StagedColumns:
        """What a run has staged completely. Raises NotFound (nearest ids), Conflict when it is not staged yet."""


class Pool(Protocol):
    """Processes elsewhere that join units. It starts, or connects, at the first question. Threads may share one."""

    @property
    def slots(self) -> int:
        """Units that it joins at once."""

    @property
    def memory_bytes(self) -> int:
        """What a unit may take where it is joined, when all slots of its machine are in use; 0 is not known."""

    def start(self) -> str:
        """Start or connect; a line that says what answers."""

    def join(self, unit: ShardUnit) -> Joined:
        """Join one unit in a worker; returns when it is done.

        Raises KernelError: what joining breaks; ``ray.worker`` or ``memory.full`` when worker after worker died.
        """

    def dataset(self, pieces: Sequence[Piece]) -> Any:
        """A dataset of the pool's own kind, whose rows are those of the pieces, in their order."""
