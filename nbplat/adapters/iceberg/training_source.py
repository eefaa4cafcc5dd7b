"""Base files through pyiceberg's ArrowScan, staged files as plain Parquet: the reading side of the training join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.scan import file_tasks, read_tasks
from nbplat.errors import Conflict, DataError
from nbplat.terms import SnapshotPin, StagedFile
from nbplat.training.ports import BaseFile, BaseTable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import FileScanTask, Table

__all__ = ["IcebergTrainingSource"]


class IcebergTrainingSource:
    """Implements `nbplat.training.TrainingSource` over a catalog; holds the file lists of the pins it was asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables: dict[SnapshotPin, tuple[Table, dict[str, FileScanTask]]] = {}

    def describe(self, table: str) -> BaseTable:
        """See the port."""
        loaded = load_table(self._catalog, table)
        pin = pin_of(loaded)
        _, tasks = self._at(pin, loaded)
        return BaseTable(
            pin=pin,
            columns=tuple((field.name, str(field.field_type)) for field in loaded.schema().fields),
            files=tuple(_base_file(loaded, task) for task in tasks.values()),
        )

    def read_base(self, pin: SnapshotPin, path: str, columns: Sequence[str]) -> pa.Table:
        """See the port."""
        table, tasks = self._at(pin)
        if path not in tasks:
            raise Conflict(
                "training.file_gone",
                f"{path} is no file of snapshot {pin.snapshot_id} of {pin.table}",
                fix="plan the training again",
            )
        try:
            return read_tasks(table, pin, [tasks[path]], columns)
        except FileNotFoundError as exc:
            raise Conflict(
                "training.file_gone",
                f"a data file of snapshot {pin.snapshot_id} of {pin.table} is gone",
                fix="plan the training again; keep snapshots longer while runs need them",
                where=path,
            ) from exc

    def read_staged(self, pin: SnapshotPin, file: StagedFile, columns: Sequence[str]) -> pa.Table:
        """See the port; the file is opened with the base table's file access."""
        import pyarrow.parquet as pq

        table, _ = self._at(pin)
        try:
            with table.io.new_input(file.path).open() as stream:
                reader = pq.ParquetFile(stream)
                missing = [name for name in columns if name not in reader.schema_arrow.names]
                if missing:
                    raise DataError(
                        "training.staged_column",
                        f"the staged file has no column {missing[0]!r}",
                        fix="stage the run again with --new",
                        where=file.path,
                    )
                return reader.read(columns=list(columns)).select(list(columns))
        except FileNotFoundError as exc:
            raise DataError(
                "training.staged_gone",
                "a staged file is gone",
                fix="stage the run again with --new; it was dropped or expired",
                where=file.path,
            ) from exc

    def _at(self, pin: SnapshotPin, table: Table | None = None) -> tuple[Table, dict[str, FileScanTask]]:
        if pin not in self._tables:
            table = table or load_table(self._catalog, pin.table)
            self._tables[pin] = (table, {task.file.file_path: task for task in file_tasks(table, pin)})
        return self._tables[pin]


def _base_file(table: Table, task: FileScanTask) -> BaseFile:
    from pyiceberg.transforms import TimeTransform

    spec = table.specs()[task.file.spec_id]
    schema = table.schema()
    period = "all"
    for position, field in enumerate(spec.fields):
        kind = schema.find_type(field.source_id)
        if isinstance(field.transform, TimeTransform) or str(kind) == "date":
            value = task.file.partition[position]
            period = field.transform.to_human_string(kind, value)
            break
    return BaseFile(
        path=task.file.file_path,
        rows=task.file.record_count,
        deletes=len(task.delete_files),
        partition=spec.partition_to_path(task.file.partition, schema) if spec.fields else "",
        period=period,
    )
