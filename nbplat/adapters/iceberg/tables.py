"""The read-only view of a catalog that backfill plans and workers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.scan import check_pin, file_tasks, read_tasks, window_filter
from nbplat.backfill.ports import BaseFile, Column, TableFacts
from nbplat.errors import Conflict
from nbplat.terms import SnapshotPin, TableName, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table

__all__ = ["IcebergTables"]


class IcebergTables:
    """Reads through pyiceberg. Plans of one instance share loaded tables and file lists."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables: dict[str, Table] = {}
        self._tasks: dict[tuple[str, int | None], dict[str, FileScanTask]] = {}

    def describe(self, table: TableName) -> TableFacts:
        """Read the table's present state."""
        loaded = load_table(self._catalog, table)
        self._tables[str(table)] = loaded
        schema, spec = loaded.schema(), loaded.spec()
        sources = [(field, schema.find_column_name(field.source_id) or "") for field in spec.fields]
        snapshot = loaded.current_snapshot()
        summary = snapshot.summary if snapshot else None
        return TableFacts(
            pin=pin_of(loaded),
            columns=tuple(Column(field.name, str(field.field_type), field.required) for field in schema.fields),
            time_column=next(
                (
                    name
                    for field, name in sources
                    if str(schema.find_type(field.source_id)).startswith(("timestamp", "date"))
                    and str(field.transform) in ("year", "month", "day", "hour", "identity")
                ),
                None,
            ),
            partition_columns=tuple(dict.fromkeys(name for _, name in sources)),
            partitioning=", ".join(f"{field.transform}({name})" for field, name in sources) or "unpartitioned",
            spec_id=spec.spec_id,
            format_version=loaded.format_version,
            rows=int((summary["total-records"] if summary else None) or 0),
            files=int((summary["total-data-files"] if summary else None) or 0),
            file_bytes=int((summary["total-files-size"] if summary else None) or 0),
        )

    def files(
        self, pin: SnapshotPin, *, time_column: str | None = None, window: Window | None = None
    ) -> tuple[BaseFile, ...]:
        """Data files from the manifests, pruned by the window on `time_column`."""
        table = self._table(pin)
        schema = next(schema for schema in table.metadata.schemas if schema.schema_id == pin.schema_id)
        names = {field.field_id: field.name for field in schema.fields}
        kind = str(schema.find_type(time_column)) if time_column and time_column in names.values() else "timestamptz"
        tasks = file_tasks(table, pin, window_filter(time_column, window or Window(), kind))
        return tuple(
            BaseFile(
                path=task.file.file_path,
                rows=task.file.record_count,
                file_bytes=task.file.file_size_in_bytes,
                column_bytes={
                    names[field_id]: size
                    for field_id, size in (task.file.column_sizes or {}).items()
                    if field_id in names
                },
                partition=_partition(table, task.file),
                spec_id=task.file.spec_id,
                deletes=len(task.delete_files),
            )
            for task in tasks
        )

    def read(self, pin: SnapshotPin, columns: Sequence[str], *, paths: Sequence[str] | None = None) -> pa.Table:
        """Read live rows; files in path order."""
        table = self._table(pin)
        key = (pin.table_uuid, pin.snapshot_id)
        if key not in self._tasks:
            self._tasks[key] = {task.file.file_path: task for task in file_tasks(table, pin)}
        tasks = self._tasks[key]
        if paths is None:
            return read_tasks(table, pin, tasks.values(), columns)
        missing = [path for path in paths if path not in tasks]
        if missing:
            raise Conflict(
                "file.unknown", f"{pin.table} has no such data file", fix="plan the run again", where=missing[0]
            )
        return read_tasks(table, pin, [tasks[path] for path in sorted(paths)], columns)

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema of `columns` at the pin."""
        return read_tasks(self._table(pin), pin, (), columns).schema

    def live_paths(self, table: TableName) -> Mapping[str, int]:
        """Data files of main now, with how many delete files can touch each."""
        loaded = load_table(self._catalog, table)
        return {task.file.file_path: len(task.delete_files) for task in loaded.scan().plan_files()}

    def _table(self, pin: SnapshotPin) -> Table:
        table = self._tables.get(pin.table)
        known = table is not None and (
            pin.snapshot_id is None or table.metadata.snapshot_by_id(pin.snapshot_id) is not None
        )
        if table is None or not known:
            table = self._tables[pin.table] = load_table(self._catalog, pin.table)
        check_pin(table, pin)
        return table


def _partition(table: Table, file: DataFile) -> str:
    spec, schema = table.specs()[file.spec_id], table.schema()
    return ", ".join(
        f"{field.name}={field.transform.to_human_string(schema.find_type(field.source_id), file.partition[position])}"
        for position, field in enumerate(spec.fields)
    )
