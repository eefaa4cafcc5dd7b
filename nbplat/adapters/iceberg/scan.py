"""Reading what a pin says, by field id, with every kind of delete applied; pyiceberg's ArrowScan reads the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.deletes import DeletedRows
from nbplat.adapters.iceberg.live import LiveFile, live_files, refuse_unreadable
from nbplat.adapters.iceberg.manifests import Manifests
from nbplat.errors import Conflict, DataError, NotFound, did_you_mean
from nbplat.terms import SnapshotPin, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

__all__ = ["check_pin", "pinned_files", "pinned_schema", "read_files", "window_filter"]


def window_filter(time_column: str | None, window: Window, kind: str = "timestamptz") -> str:
    """The window as a row filter on `time_column`; the empty string when there is no window.

    Args:
        kind: Iceberg type of the column; a date counts as its first moment, a timestamp as UTC.
    """
    bounds = []
    for moment, compare in ((window.start, ">="), (window.end, "<")):
        if time_column and moment:
            bounds.append(f"{time_column} {compare} '{_literal(moment, kind)}'")
    return " and ".join(bounds)


def _literal(moment: datetime, kind: str) -> str:
    if kind == "date":
        # The first date whose midnight is not before the moment.
        return (moment + timedelta(days=1) - timedelta(microseconds=1)).date().isoformat()
    return (moment if kind == "timestamptz" else moment.replace(tzinfo=None)).isoformat()


def check_pin(table: Table, pin: SnapshotPin) -> None:
    """Return when the pinned snapshot still lives in this very table.

    Raises:
        Conflict: when the table was replaced by another of its name, or the snapshot was expired.
    """
    if str(table.metadata.table_uuid) != pin.table_uuid:
        raise Conflict(
            "table.replaced",
            f"{pin.table} is another table now than the one this was planned on",
            fix="plan again: the name was dropped and made anew",
        )
    if pin.snapshot_id is not None and table.metadata.snapshot_by_id(pin.snapshot_id) is None:
        raise Conflict(
            "snapshot.expired",
            f"snapshot {pin.snapshot_id} of {pin.table} has been expired",
            fix="plan again on the present snapshot; keep snapshots longer or tag them while runs need them",
        )


def pinned_files(
    table: Table, pin: SnapshotPin, row_filter: str = "", *, manifests: Manifests | None = None
) -> list[LiveFile]:
    """The data files of a pin that can hold rows of the filter, with their delete files, in path order.

    The filter's names are those of the pinned schema. Empty when the pin has no snapshot or the filter
    meets no file.
    """
    check_pin(table, pin)
    if pin.snapshot_id is None:
        return []
    snapshot = table.metadata.snapshot_by_id(pin.snapshot_id)
    return live_files(table, snapshot, row_filter, schema=pinned_schema(table, pin), manifests=manifests)


def pinned_schema(table: Table, pin: SnapshotPin) -> Schema:
    """The schema of a pin."""
    return next(schema for schema in table.metadata.schemas if schema.schema_id == pin.schema_id)


def read_files(
    table: Table,
    pin: SnapshotPin,
    files: Iterable[LiveFile],
    columns: Sequence[str],
    *,
    deleted: DeletedRows | None = None,
) -> pa.Table:
    """Read live rows of `files`, file after file in their order, rows in file order.

    Args:
        columns: Top-level column names at the pin's schema, in the order wanted.
        deleted: Delete files read before, to read none twice; None reads afresh.

    Returns:
        An Arrow table with exactly those columns; zero rows when there are no files.

    Raises:
        NotFound: a column that the pinned schema does not have.
        SetupError: a file of another format than Parquet, or an encrypted one.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask

    schema = pinned_schema(table, pin)
    by_name = {field.name: field for field in schema.fields}
    missing = [name for name in columns if name not in by_name]
    if missing:
        raise NotFound(
            "column.unknown", f"{pin.table} has no column {missing[0]!r}", fix=did_you_mean(missing[0], by_name)
        )
    files = list(files)
    refuse_unreadable(files, pin.table)
    projected = Schema(*(by_name[name] for name in columns), schema_id=schema.schema_id)
    scan = ArrowScan(table.metadata, table.io, projected, AlwaysTrue())
    rows = scan.to_table([FileScanTask(live.file) for live in files]).select(list(columns))
    if not any(live.deletes for live in files):
        return rows
    return _without_deleted(table, rows, files, deleted or DeletedRows(table))


def _without_deleted(table: Table, rows: pa.Table, files: Sequence[LiveFile], deleted: DeletedRows) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    counts = [live.file.record_count for live in files]
    if sum(counts) != rows.num_rows:
        raise DataError(
            "file.rows",
            f"data files of {'.'.join(table.name())} hold {rows.num_rows} rows, their manifests say {sum(counts)}",
            fix="write the files anew with the engine that made them (Spark: CALL system.rewrite_data_files)",
        )
    lives = np.ones(rows.num_rows, bool)
    for start, live in zip(np.cumsum([0, *counts[:-1]]), files, strict=True):
        lives[start + deleted.of(live)] = False
    return rows.filter(pa.array(lives))
