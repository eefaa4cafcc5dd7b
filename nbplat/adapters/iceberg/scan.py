"""Reading what a pin says, by field id, with deletes applied: pyiceberg's ArrowScan is the only reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nbplat.errors import Conflict, NotFound, did_you_mean
from nbplat.terms import SnapshotPin, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import FileScanTask, Table

__all__ = ["check_pin", "file_tasks", "read_pin", "read_tasks", "window_filter"]


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


def file_tasks(table: Table, pin: SnapshotPin, row_filter: str = "") -> list[FileScanTask]:
    """The data files of a pin that can hold rows of the filter, with their delete files, in path order.

    Empty when the pin has no snapshot or the filter meets no file.
    """
    from pyiceberg.table import ALWAYS_TRUE

    check_pin(table, pin)
    if pin.snapshot_id is None:
        return []
    scan = table.scan(row_filter=row_filter or ALWAYS_TRUE, snapshot_id=pin.snapshot_id)
    return sorted(scan.plan_files(), key=lambda task: task.file.file_path)


def read_tasks(table: Table, pin: SnapshotPin, tasks: Iterable[FileScanTask], columns: Sequence[str]) -> pa.Table:
    """Read live rows of `tasks`, task after task in their order, rows in file order.

    Args:
        columns: Top-level column names at the pin's schema, in the order wanted.

    Returns:
        An Arrow table with exactly those columns; zero rows when there are no tasks.

    Raises:
        NotFound: a column that the pinned schema does not have.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan
    from pyiceberg.schema import Schema

    schema = next(s for s in table.metadata.schemas if s.schema_id == pin.schema_id)
    by_name = {field.name: field for field in schema.fields}
    missing = [name for name in columns if name not in by_name]
    if missing:
        raise NotFound(
            "column.unknown", f"{pin.table} has no column {missing[0]!r}", fix=did_you_mean(missing[0], by_name)
        )
    projected = Schema(*(by_name[name] for name in columns), schema_id=schema.schema_id)
    scan = ArrowScan(table.metadata, table.io, projected, AlwaysTrue())
    return scan.to_table(list(tasks)).select(list(columns))


def read_pin(table: Table, pin: SnapshotPin, columns: Sequence[str], row_filter: str = "") -> pa.Table:
    """Read the files of a pin that can hold rows of the filter.

    The filter is text such as ``label_ts >= '2011-01-01T00:00:00+00:00'`` and prunes files only:
    rows of a file that do not match are returned as well. Empty text keeps every file.
    """
    return read_tasks(table, pin, file_tasks(table, pin, row_filter), columns)
