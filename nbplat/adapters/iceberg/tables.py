"""The read-only view of a catalog that backfill plans and workers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.arrow_schema import arrow_schema
from nbplat.adapters.iceberg.catalog import load_table, pin_of, storage_options, table_names
from nbplat.adapters.iceberg.deletes import DeletedRows
from nbplat.adapters.iceberg.file_facts import ColumnBytes, field_names, file_constants, filled_fields, partition_words
from nbplat.adapters.iceberg.live import LiveFile, live_files, refuse_unreadable
from nbplat.adapters.iceberg.manifests import Manifests, garbage_later
from nbplat.adapters.iceberg.scan import check_pin, pinned_files, pinned_schema, read_files, window_filter
from nbplat.backfill.ports import FileRead, LiveData, LiveTable
from nbplat.backfill.table_facts import BaseFile, Column, TableFacts
from nbplat.errors import Conflict, NotFound, did_you_mean
from nbplat.terms import SnapshotPin, TableName, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergTables"]

_KEPT_PINS = 16


class IcebergTables:
    """Reads through pyiceberg. Plans of one instance share loaded tables and file lists."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables: dict[str, Table] = {}
        self._files: dict[SnapshotPin, tuple[dict[str, LiveFile], DeletedRows]] = {}
        self._manifests: dict[str, Manifests] = {}

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
            columns=tuple(
                Column(field.name, str(field.field_type), field.required, field.field_id) for field in schema.fields
            ),
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

    def every(self) -> list[str]:
        """Ask the catalog for each namespace's tables."""
        return table_names(self._catalog)

    def files(
        self, pin: SnapshotPin, *, time_column: str | None = None, window: Window | None = None
    ) -> tuple[BaseFile, ...]:
        """Data files from the manifests, pruned by the window on `time_column`."""
        table = self._table(pin)
        schema = pinned_schema(table, pin)
        ids = {field.name: field.field_id for field in schema.fields}
        kind = str(schema.find_type(time_column)) if time_column and time_column in ids else "timestamptz"
        inside = window_filter(time_column, window or Window(), kind)
        with garbage_later():
            found = pinned_files(table, pin, inside, manifests=self._of(table))
            refuse_unreadable(found, pin.table)
            partition = partition_words(table, schema)
            return tuple(
                BaseFile(
                    path=live.path,
                    rows=live.file.record_count,
                    file_bytes=live.file.file_size_in_bytes,
                    column_bytes=ColumnBytes(live.file.column_sizes, ids),
                    partition=partition(live.file),
                    spec_id=live.file.spec_id,
                    deletes=len(live.deletes),
                )
                for live in found
            )

    def read(self, pin: SnapshotPin, columns: Sequence[str], *, paths: Sequence[str] | None = None) -> pa.Table:
        """Read live rows; files in path order."""
        table, files, deleted = self._pinned(pin)
        wanted = files.values() if paths is None else _chosen(files, sorted(paths), pin)
        return read_files(table, pin, wanted, columns, deleted=deleted)

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema of `columns` at the pin, with field ids."""
        by_name = {field.name: field for field in pinned_schema(self._table(pin), pin).fields}
        missing = [name for name in columns if name not in by_name]
        if missing:
            raise NotFound(
                "column.unknown", f"{pin.table} has no column {missing[0]!r}", fix=did_you_mean(missing[0], by_name)
            )
        return arrow_schema([by_name[name] for name in columns])

    def storage(self, pin: SnapshotPin) -> dict[str, str]:
        """The file access options of the table."""
        return storage_options(self._catalog, f"{self._table(pin).location()}/")

    def reads(self, pin: SnapshotPin, paths: Sequence[str] | None = None) -> list[FileRead]:
        """What reading each file takes: constants and deleted positions."""
        table, files, deleted = self._pinned(pin)
        chosen = list(files.values()) if paths is None else _chosen(files, paths, pin)
        refuse_unreadable(chosen, pin.table)
        constants = file_constants(table, pinned_schema(table, pin))
        return [
            FileRead(
                live.path,
                live.file.record_count,
                constants(live.file),
                deleted.of(live).astype("<i8").tobytes() if live.deletes else b"",
            )
            for live in chosen
        ]

    def names(self, pin: SnapshotPin) -> Mapping[int, tuple[str, ...]]:
        """From the property schema.name-mapping.default, else the pinned schema."""
        table = self._table(pin)
        return field_names(table, pinned_schema(table, pin))

    def live(self, table: TableName) -> LiveTable:
        """Main now, loaded afresh."""
        loaded = load_table(self._catalog, table)
        snapshot = loaded.current_snapshot()
        partition, filled = partition_words(loaded, loaded.schema()), filled_fields(loaded)
        return LiveTable(
            pin_of(loaded),
            tuple(
                LiveData(
                    path=live.path,
                    rows=live.file.record_count,
                    file_bytes=live.file.file_size_in_bytes,
                    partition=partition(live.file),
                    spec_id=live.file.spec_id,
                    deletes=len(live.deletes),
                    sequence_number=live.sequence_number,
                    filled=filled(live.file),
                )
                for live in live_files(loaded, snapshot, manifests=self._of(loaded))
            ),
        )

    def live_paths(self, table: TableName) -> Mapping[str, int]:
        """Data files of main now, with how many delete files apply to each."""
        loaded = load_table(self._catalog, table)
        files = live_files(loaded, loaded.current_snapshot(), manifests=self._of(loaded))
        return {live.path: len(live.deletes) for live in files}

    def _of(self, table: Table) -> Manifests:
        return self._manifests.setdefault(str(table.metadata.table_uuid), Manifests(table.io))

    def _pinned(self, pin: SnapshotPin) -> tuple[Table, dict[str, LiveFile], DeletedRows]:
        table = self._table(pin)
        found = self._files.get(pin)
        if found is None:
            files = {live.path: live for live in pinned_files(table, pin, manifests=self._of(table))}
            found = self._files[pin] = files, DeletedRows(table)
            for oldest in list(self._files)[:-_KEPT_PINS]:
                self._files.pop(oldest, None)
        return table, *found

    def _table(self, pin: SnapshotPin) -> Table:
        table = self._tables.get(pin.table)
        known = table is not None and (
            pin.snapshot_id is None or table.metadata.snapshot_by_id(pin.snapshot_id) is not None
        )
        if table is None or not known:
            table = self._tables[pin.table] = load_table(self._catalog, pin.table)
        check_pin(table, pin)
        return table


def _chosen(files: Mapping[str, LiveFile], paths: Sequence[str], pin: SnapshotPin) -> list[LiveFile]:
    missing = [path for path in paths if path not in files]
    if missing:
        raise Conflict("file.unknown", f"{pin.table} has no such data file", fix="plan the run again", where=missing[0])
    return [files[path] for path in paths]
