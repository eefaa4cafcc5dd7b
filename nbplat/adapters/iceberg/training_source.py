"""Base files by pin with deletes applied, staged files as plain Parquet: the reading side of the training join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.deletes import DeletedRows
from nbplat.adapters.iceberg.live import LiveFile
from nbplat.adapters.iceberg.scan import pinned_files, read_files
from nbplat.errors import Conflict, DataError
from nbplat.terms import SnapshotPin, StagedFile
from nbplat.training.ports import BaseFile, BaseTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergTrainingSource"]


class IcebergTrainingSource:
    """Implements `nbplat.training.TrainingSource` over a catalog; holds the file lists of the pins it was asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables: dict[SnapshotPin, tuple[Table, dict[str, LiveFile]]] = {}
        self._deleted: dict[SnapshotPin, DeletedRows] = {}

    def describe(self, table: str) -> BaseTable:
        """See the port."""
        loaded = load_table(self._catalog, table)
        pin = pin_of(loaded)
        _, files = self._at(pin, loaded)
        return BaseTable(
            pin=pin,
            columns=tuple((field.name, str(field.field_type)) for field in loaded.schema().fields),
            files=tuple(_base_file(loaded, live) for live in files.values()),
        )

    def read_base(self, pin: SnapshotPin, path: str, columns: Sequence[str]) -> pa.Table:
        """See the port."""
        table, live, deleted = self._file(pin, path)
        try:
            return read_files(table, pin, [live], columns, deleted=deleted)
        except FileNotFoundError as exc:
            raise Conflict(
                "training.file_gone",
                f"a data file of snapshot {pin.snapshot_id} of {pin.table} is gone",
                fix="plan the training again; keep snapshots longer while runs need them",
                where=path,
            ) from exc

    def live_positions(self, pin: SnapshotPin, path: str) -> npt.NDArray[np.int64]:
        """See the port."""
        import numpy as np

        _, live, deleted = self._file(pin, path)
        return np.delete(np.arange(live.file.record_count, dtype=np.int64), deleted.of(live))

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

    def _file(self, pin: SnapshotPin, path: str) -> tuple[Table, LiveFile, DeletedRows]:
        table, files = self._at(pin)
        if path not in files:
            raise Conflict(
                "training.file_gone",
                f"{path} is no file of snapshot {pin.snapshot_id} of {pin.table}",
                fix="plan the training again",
            )
        return table, files[path], self._deleted[pin]

    def _at(self, pin: SnapshotPin, table: Table | None = None) -> tuple[Table, dict[str, LiveFile]]:
        if pin not in self._tables:
            table = table or load_table(self._catalog, pin.table)
            self._deleted[pin] = DeletedRows(table)
            self._tables[pin] = (table, {live.path: live for live in pinned_files(table, pin)})
        return self._tables[pin]


def _base_file(table: Table, live: LiveFile) -> BaseFile:
    from pyiceberg.transforms import TimeTransform

    spec = table.specs()[live.file.spec_id]
    schema = table.schema()
    period = "all"
    for position, field in enumerate(spec.fields):
        kind = schema.find_type(field.source_id)
        if isinstance(field.transform, TimeTransform) or str(kind) == "date":
            value = live.file.partition[position]
            period = field.transform.to_human_string(kind, value)
            break
    return BaseFile(
        path=live.path,
        rows=live.file.record_count,
        deletes=len(live.deletes),
        partition=spec.partition_to_path(live.file.partition, schema) if spec.fields else "",
        period=period,
    )
