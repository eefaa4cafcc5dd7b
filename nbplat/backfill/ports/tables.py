"""Reading a catalog: what a plan and its workers know of tables and data files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.backfill.table_facts import BaseFile, TableFacts
from nbplat.terms import SnapshotPin, TableName, Window

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["FileRead", "FrameTables", "LiveData", "LiveTable", "Tables"]


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

    def every(self) -> list[str]:
        """The names of all tables, sorted."""

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
