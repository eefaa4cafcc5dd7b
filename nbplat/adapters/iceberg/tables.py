"""The read-only view of a catalog that backfill plans and workers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.arrow_schema import arrow_schema, flat_names
from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.scan import check_pin, file_tasks, read_tasks, window_filter
from nbplat.backfill.ports import BaseFile, Column, FileRead, TableFacts
from nbplat.errors import Conflict, NotFound, SetupError, did_you_mean
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
        return read_tasks(table, pin, self._of(table, pin, paths), columns)

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema of `columns` at the pin, with field ids."""
        table = self._table(pin)
        schema = next(schema for schema in table.metadata.schemas if schema.schema_id == pin.schema_id)
        by_name = {field.name: field for field in schema.fields}
        missing = [name for name in columns if name not in by_name]
        if missing:
            raise NotFound(
                "column.unknown", f"{pin.table} has no column {missing[0]!r}", fix=did_you_mean(missing[0], by_name)
            )
        return arrow_schema([by_name[name] for name in columns])

    def reads(self, pin: SnapshotPin, paths: Sequence[str] | None = None) -> list[FileRead]:
        """Per file what a reader must know beside the file."""
        table = self._table(pin)
        reads = []
        for task in self._of(table, pin, paths):
            if task.delete_files:
                raise SetupError(
                    "table.deletes",
                    f"{pin.table} has row-level deletes",
                    fix="compact it first (Spark: CALL system.rewrite_data_files), then plan again",
                    where=task.file.file_path,
                )
            reads.append(FileRead(task.file.file_path, task.file.record_count, _constants(table, pin, task.file)))
        return reads

    def names(self, pin: SnapshotPin) -> dict[int, list[str]]:
        """Field id -> names, from the table's name mapping."""
        return flat_names(self._table(pin).name_mapping())

    def storage(self, pin: SnapshotPin) -> dict[str, str]:
        """The table's file access options that workers need."""
        return {name: str(value) for name, value in self._table(pin).io.properties.items() if name.startswith("s3.")}

    def live_paths(self, table: TableName) -> Mapping[str, int]:
        """Data files of main now, with how many delete files can touch each."""
        loaded = load_table(self._catalog, table)
        return {task.file.file_path: len(task.delete_files) for task in loaded.scan().plan_files()}

    def _of(self, table: Table, pin: SnapshotPin, paths: Sequence[str] | None) -> list[FileScanTask]:
        key = (pin.table_uuid, pin.snapshot_id)
        if key not in self._tasks:
            self._tasks[key] = {task.file.file_path: task for task in file_tasks(table, pin)}
        tasks = self._tasks[key]
        if paths is None:
            return list(tasks.values())
        missing = [path for path in paths if path not in tasks]
        if missing:
            raise Conflict(
                "file.unknown", f"{pin.table} has no such data file", fix="plan the run again", where=missing[0]
            )
        return [tasks[path] for path in sorted(paths)]

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


def _constants(table: Table, pin: SnapshotPin, file: DataFile) -> dict[str, Any]:
    """Values of identity partition columns: what a file need not store (Iceberg spec, column projection)."""
    from pyiceberg.transforms import IdentityTransform

    schema = next(schema for schema in table.metadata.schemas if schema.schema_id == pin.schema_id)
    values = {}
    for position, field in enumerate(table.specs()[file.spec_id].fields):
        if isinstance(field.transform, IdentityTransform) and (name := schema.find_column_name(field.source_id)):
            values[name] = _python_value(file.partition[position])
    return {name: value for name, value in values.items() if value is not None}


def _python_value(value: Any) -> Any:
    """A partition value as Arrow takes it for the column's type: dates and times stay counts."""
    import uuid

    return value.bytes if isinstance(value, uuid.UUID) else value
