"""What planning knows of a table and of its data files, all from metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbplat.terms import SnapshotPin

__all__ = ["BaseFile", "Column", "TableFacts"]


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
