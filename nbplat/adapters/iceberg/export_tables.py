"""Exported rows as an ordinary table: made, or replaced, in one commit."""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.index_tables import unnamed_files
from nbplat.adapters.iceberg.refs import history
from nbplat.errors import Conflict, NotFound, unexpected
from nbplat.sequence.export import Export
from nbplat.terms import Files, SnapshotPin, TableName

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction

__all__ = ["IcebergExportTables"]

_log = logging.getLogger(__name__)

_OWNER = "nbplat.export-of"
_FILE_BYTES = 64 << 20


class IcebergExportTables:
    """Implements `nbplat.sequence.export.ExportTables`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def check(self, name: str, owner: str, *, replace: bool) -> None:
        """See the port."""
        self._find(name, owner, replace=replace)

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        *,
        owner: str,
        summary: Mapping[str, str],
        replace: bool,
        mark: str = "",
    ) -> SnapshotPin:
        """See the port."""
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError, ValidationException

        table = self._find(name, owner, replace=replace)
        transaction = self._new(name, schema, owner) if table is None else _renewed(table, schema, owner)
        # Only the staged table of a new one knows its file access.
        io = transaction._table.io  # noqa: SLF001
        written: list[DataFile] = []
        try:
            written.extend(_files(transaction, batches, io, mark))
            old = [] if table is None else [task.file for task in table.scan().plan_files()]
            update = transaction.update_snapshot(snapshot_properties=dict(summary))
            with update.overwrite() if old else update.fast_append() as snapshot:
                for file in old:
                    snapshot.delete_data_file(file)
                for file in written:
                    snapshot.append_data_file(file)
            transaction.commit_transaction()
        except (CommitFailedException, TableAlreadyExistsError, ValidationException) as exc:
            _remove(io, written)
            raise Conflict(
                "export.moved", f"somebody else has written to {name} meanwhile", fix="export again"
            ) from exc
        except BaseException as exc:
            _remove(io, written)
            if isinstance(exc, OSError) and (full := unexpected(exc)).code == "disk.full":
                raise full from exc
            raise
        return pin_of(load_table(self._catalog, name))

    def made_by(self, name: str, job: str) -> Export | None:
        """See the port."""
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        try:
            table = load_table(self._catalog, name)
        except NotFound:
            return None
        for snapshot in history(table, table.current_snapshot()):
            told = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
            if told.get("nbplat.job") != job:
                continue
            schema_id = table.metadata.current_schema_id if snapshot.schema_id is None else snapshot.schema_id
            pin = SnapshotPin(name, str(table.metadata.table_uuid), snapshot.snapshot_id, schema_id)
            columns = schema_to_pyarrow(table.schemas()[schema_id], include_field_ids=False)
            return Export(
                pin,
                int(told.get("total-records", 0)),
                tuple((field.name, str(field.type)) for field in columns),
                told.get("nbplat.features", ""),
            )
        return None

    def unnamed(self, name: str, mark: str, files: Files) -> tuple[str, ...]:
        """See the port."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        try:
            table = load_table(self._catalog, name)
        except NotFound:
            try:
                # Where the first export would have made it; nothing is made by asking.
                table = self._catalog.create_table_transaction(name, pa.schema([]))._table  # noqa: SLF001
            except NoSuchNamespaceError:
                return ()
        return unnamed_files(table, files, lambda file: f"-{mark}-" in file.location.rpartition("/")[2])

    def _find(self, name: str, owner: str, *, replace: bool) -> Table | None:
        try:
            table = load_table(self._catalog, name)
        except NotFound:
            return None
        found = table.properties.get(_OWNER)
        if found != owner and not replace:
            what = f"the export of {found}" if found else "not an export"
            raise Conflict(
                "export.exists",
                f"the table {name} is there, and it is {what}",
                fix="export to another table, or take its place with --replace (replace=True)",
            )
        return table

    def _new(self, name: str, schema: pa.Schema, owner: str) -> Transaction:
        self._catalog.create_namespace_if_not_exists(TableName.parse(name).namespace)
        properties = {"format-version": "2", "write.parquet.compression-codec": "zstd", _OWNER: owner}
        return self._catalog.create_table_transaction(name, schema, properties=properties)


def _renewed(table: Table, schema: pa.Schema, owner: str) -> Transaction:
    """A transaction that gives the table these columns; one whose type stays keeps its field id."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    from nbplat.remote.numbering import numbered

    transaction = table.transaction()
    wanted = {field.name: field.field_type for field in pyarrow_to_schema(numbered(schema)).fields}
    present = {field.name: field.field_type for field in table.schema().fields}
    going = [name for name, kind in present.items() if name not in wanted or not _alike(kind, wanted[name])]
    coming = [name for name in wanted if name in going or name not in present]
    if going or coming:
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            for name in going:
                update.delete_column(name)
            for name in coming:
                update.add_column(name, wanted[name])
    if table.properties.get(_OWNER) != owner:
        transaction.set_properties({_OWNER: owner})
    return transaction


def _alike(kind: Any, other: Any) -> bool:
    """Same type but for the ids of nested fields."""
    from pyiceberg.types import ListType, StructType

    if isinstance(kind, ListType) and isinstance(other, ListType):
        return _alike(kind.element_type, other.element_type)
    if isinstance(kind, StructType) or isinstance(other, StructType):
        return False
    return bool(kind == other)


def _files(transaction: Transaction, batches: Iterator[pa.RecordBatch], io: FileIO, mark: str) -> Iterator[DataFile]:
    """Data files of about `_FILE_BYTES` in memory each; their names hold the mark, and are of this try alone."""
    from pyiceberg.io.pyarrow import _dataframe_to_data_files

    numbers = itertools.count()
    fresh = uuid.uuid4()
    of_try = uuid.UUID(f"{mark}{str(fresh)[len(mark) :]}")
    names = [field.name for field in transaction.table_metadata.schema().fields]
    held: list[pa.RecordBatch] = []
    for batch in itertools.chain(batches, [None]):
        if batch is not None:
            held.append(batch)
        if held and (batch is None or sum(each.nbytes for each in held) >= _FILE_BYTES):
            rows = pa.Table.from_batches(held).select(names)
            held = []
            yield from _dataframe_to_data_files(
                transaction.table_metadata, rows, io, write_uuid=of_try, counter=numbers
            )


def _remove(io: FileIO, written: list[DataFile]) -> None:
    """Delete what a try has written; the error that ended the try is what its caller has to hear."""
    for file in written:
        try:
            io.delete(file.file_path)
        except Exception as exc:  # noqa: BLE001 - whatever the store's client raises
            _log.warning("%s is left: no table names it, and it cannot be deleted: %s", file.file_path, exc)
