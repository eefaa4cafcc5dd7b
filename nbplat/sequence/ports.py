"""What sequences ask of the world: events to read, an index to read and to publish, something to compute on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.sequence.index_report import IndexReport
from nbplat.terms import Files, SnapshotPin

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from nbplat.remote.sequence.events import Events

__all__ = [
    "Conditions",
    "EventSource",
    "EventSources",
    "Index",
    "IndexFile",
    "IndexState",
    "IndexTables",
    "SourcePart",
    "SourcePin",
    "VocabTables",
]


# -- what is read ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourcePin:
    """One state of one source; equal pins read equal rows.

    Attributes:
        kind: ``table``, ``path`` or ``frame``.
        name: As the definition spells it.
        identity: Names the state: of a table its uuid, snapshot and schema; of paths a hash over paths, sizes and
            times of change; of a frame a hash of its content.
        table: Of a table; None otherwise.
    """

    kind: str
    name: str
    identity: str
    table: SnapshotPin | None = None

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it."""
        table = None if self.table is None else self.table.record()
        return {"kind": self.kind, "name": self.name, "identity": self.identity, "table": table}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SourcePin:
        """Read what `record` wrote."""
        table = record["table"]
        return cls(record["kind"], record["name"], record["identity"], None if table is None else SnapshotPin(**table))


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A piece of a source that any process can read.

    Attributes:
        id: Stable and unique within the pin; letters, digits and dashes.
        rows: At most so many (deleted ones count).
        bytes: To read for all columns, from metadata.
        task: Plain JSON-like dict (bytes are allowed): what `nbplat.remote.sequence.source_part.read_part` reads by:
            ``read_part(task, columns, chunk_rows) -> Iterator[pa.Table]``.
    """

    id: str
    rows: int
    bytes: int
    task: Mapping[str, Any] = field(repr=False)


class EventSource(Protocol):
    """Rows of one pinned table, set of files or frame; stands for events, examples and enrichments alike."""

    @property
    def pin(self) -> SourcePin:
        """What `read` and `parts` read."""

    @property
    def schema(self) -> pa.Schema:
        """Top-level columns, Arrow types as `read` gives them."""

    @property
    def rows(self) -> int:
        """Rows from metadata; at least as many as there are."""

    @property
    def bytes(self) -> int:
        """To read for all columns, from metadata."""

    @property
    def parts(self) -> tuple[SourcePart, ...]:
        """The whole source in pieces, in an order that is the same for equal pins."""

    def read(self, columns: Sequence[str], *, encoded: Sequence[str] = ()) -> Iterator[pa.Table]:
        """All rows in bounded chunks, exactly `columns` in that order. Raises NotFound for an unknown column.

        Args:
            encoded: Columns of texts that may come as dictionaries.
        """

    def added_since(self, pin: SourcePin) -> tuple[SourcePart, ...] | None:
        """Parts that hold the rows added since `pin`; None when the source was not only appended to since."""

    def parts_within(
        self, column: str, window: tuple[int | None, int | None], unit: str | None
    ) -> tuple[SourcePart, ...]:
        """Those of `parts` that can hold rows whose time is in the window; all of them where nothing is known.

        Args:
            column: A time column.
            window: From the first to before the second moment, microseconds since 1970 UTC; None without an end.
            unit: Of integer times, ``s``, ``ms`` or ``us``.
        """

    def changed_span(self, pin: SourcePin, column: str, unit: str | None) -> tuple[int, int] | None:
        """The times of all rows that came or went since `pin`, from the first to before the second; None: unknown.

        They may be wider by a day: a clock's zone is not looked at. Arguments as of `parts_within`.
        """


class EventSources(Protocol):
    """Finds what a definition names."""

    def open(self, name: str, pin: SourcePin | None = None) -> EventSource:
        """A table (``retail.events``), a path or glob of Parquet files, or a frame that was given by name.

        Args:
            pin: That very state; None: the present one.

        Raises:
            NotFound: there is no such table, file or frame.
            Conflict: the pinned state is gone: the snapshot expired, a file changed, another frame under the name.
        """


class Conditions(Protocol):
    """Turns ``where`` texts into what workers evaluate."""

    def prepare(self, where: str, schema: pa.Schema, place: str = "") -> Mapping[str, Any]:
        """Check one condition in the Spark SQL subset.

        Args:
            schema: The columns that it may name: those of the events and the enrichments at index.
            place: Where the text was written, ``line 3, column 20``; errors point from there.

        Returns:
            A plain dict for `nbplat.remote.sequence.conditions.passes`, with ``columns``: those it names, sorted.

        Raises:
            RequestError: not boolean, an unknown column or function; with the position.
        """


# -- what is built ---------------------------------------------------------------------------------


class Index(Protocol):
    """Sorted events by bucket; an entity's events are all in one bucket."""

    @property
    def record(self) -> Mapping[str, Any]:
        """The index record (see `nbplat.sequence.index_record`)."""

    @property
    def report(self) -> IndexReport:
        """What building it met."""

    @property
    def source(self) -> SourcePin:
        """What it was built from."""

    @property
    def pin(self) -> SnapshotPin | None:
        """The stored index's snapshot; None in memory."""

    @property
    def schema(self) -> pa.Schema:
        """Columns that `events` can give: the declared ones and the enrichments at index."""

    @property
    def types(self) -> tuple[str, ...]:
        """`Events.types` of every bucket: the union of declared types, sorted."""

    @property
    def buckets(self) -> int:
        """A power of two; buckets are 0 to ``buckets - 1``."""

    def bucket_of(self, entity: pa.Table) -> npt.NDArray[np.int32]:
        """Bucket of each row of the entity columns, ``int32[rows]``; null entities get 0.

        The columns are cast to the types they have in the index; a value that does not fit gets 0 as well.
        """

    def events(self, bucket: int, columns: Sequence[str], *, later: bool = False) -> Events:
        """Events of one bucket; `rows` has exactly `columns`, and zero rows when the bucket is empty.

        Args:
            later: The rows may be `nbplat.sequence.later_rows.LaterRows`: for who leaves most events behind.
        """


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A data file of a stored index: rows of one bucket in the total order.

    Attributes:
        path: Location, as the manifest spells it.
        bucket: All its rows are of this one.
        rows: Physical rows.
        file_bytes: Size.
        deleted: How many of the rows were removed since.
    """

    path: str
    bucket: int
    rows: int
    file_bytes: int
    deleted: int = 0

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {"path": self.path, "bucket": self.bucket, "rows": self.rows, "file_bytes": self.file_bytes}


@dataclass(frozen=True, slots=True)
class IndexState:
    """A stored index at one snapshot.

    Attributes:
        pin: The snapshot; `snapshot_id` None when the table was made and nothing published yet.
        record: The index record.
        buckets: As built.
        source: The pin of the source at this snapshot; None when nothing was published yet.
        report: None when nothing was published yet.
        schema: Arrow schema of the stored columns (see `nbplat.remote.sequence.stored_rows`).
        summary: The snapshot's summary, as `IndexTables.publish` got it.
    """

    pin: SnapshotPin
    record: Mapping[str, Any]
    buckets: int
    source: SourcePin | None
    report: IndexReport | None
    schema: pa.Schema
    summary: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class IndexTables(Protocol):
    """Stored indexes: Iceberg tables partitioned by identity of ``nb_bucket``."""

    def create(
        self,
        name: str,
        schema: pa.Schema,
        *,
        record: Mapping[str, Any],
        buckets: int,
        sort: Sequence[str] = (),
        properties: Mapping[str, str] = MappingProxyType({}),
    ) -> IndexState:
        """Make the table, or return the state of the one that is there.

        Args:
            name: ``nb_sequences.home_v3__0123456789ab``; its namespace is made.
            schema: Stored columns; ``nb_bucket`` among them.
            record: The index record, kept in the table's properties.
            sort: Columns of the table's sort order: entity, type, time, id columns.
            properties: More of them, ``nbplat.*``.
        """

    def state(self, name: str, snapshot_id: int | None = None) -> IndexState | None:
        """The state at a snapshot (None: the present one); None when there is no such table.

        Raises Conflict ``snapshot.expired`` when the snapshot is gone.
        """

    def folder(self, name: str) -> str:
        """Where data files of the table belong; a location."""

    def storage(self, name: str) -> Mapping[str, str]:
        """Options to open that folder with in any process (see `nbplat.remote.storage.filesystem`)."""

    def publish(
        self,
        name: str,
        parent: int | None,
        *,
        added: Sequence[IndexFile],
        removed: Mapping[str, Sequence[int] | npt.NDArray[np.int64]] = MappingProxyType({}),
        replaced: Sequence[str] = (),
        source: SourcePin,
        report: IndexReport,
        summary: Mapping[str, str] = MappingProxyType({}),
        tag: str | None = None,
    ) -> SnapshotPin:
        """Publish in one commit: files added, rows removed (file -> physical rows), files replaced.

        Args:
            parent: The snapshot that all this was made for; None for a table without one.
            source, report: The index's after the commit.
            summary: Provenance, ``nbplat.*``; goes into the snapshot's summary. ``nbplat.job`` names whose commit it
                is; ``nbplat.step`` is ``build``, ``increment``, ``correct`` or ``compact``.
            tag: Keeps the new snapshot from being expired. What stands behind its last dash begins the names of the
                delete files, so that who was killed before the commit finds what was left.

        Raises:
            Conflict: ``index.moved``, the present snapshot is another than `parent`. A commit that was made already
                (same ``nbplat.job`` in the summary) returns its snapshot instead.
        """

    def files(self, pin: SnapshotPin, bucket: int | None = None) -> tuple[IndexFile, ...]:
        """Data files of a snapshot, of one bucket or of all: the base first, then the added runs in their order."""

    def parts(self, pin: SnapshotPin, bucket: int | None = None) -> tuple[SourcePart, ...]:
        """How any process reads the files of `files`, in their order; removed rows are left out by the reader."""

    def rows(self, pin: SnapshotPin, bucket: int, columns: Sequence[str]) -> tuple[pa.Table, ...]:
        """Rows of a bucket, one sorted table a file, in the order of `files`, removed rows left out."""

    def held(self, name: str) -> frozenset[str]:
        """Locations of the data files that any snapshot of the table names; none when there is no table."""

    def drop(self, name: str) -> None:
        """Drop the table with its files; nothing happens when there is none."""


class VocabTables(Protocol):
    """Frozen vocabularies, in the table ``<index>__vocab``; only ever appended to, a version in one commit."""

    def store(self, index: str, version: str, features: Mapping[str, pa.Table]) -> None:
        """Keep the vocabularies of a version; nothing happens when it is there.

        Args:
            index: Table name of the index.
            version: Names the content of all of them; letters and digits.
            features: Feature -> ``id`` (int64), ``value`` (text; None for an id that stands for no value) and
                ``count`` (int64).
        """

    def load(self, index: str, version: str) -> Mapping[str, pa.Table] | None:
        """The vocabularies of a version by feature, rows in the order of their ids; None when it was never stored."""

    def unnamed(self, index: str, files: Files, before_ms: int) -> tuple[str, ...]:
        """Locations of data files that no version has: of writers that were killed before their commit.

        Args:
            before_ms: Unix milliseconds; a file that was written later may be committed yet.
        """
