"""Stored indexes of sequences: Iceberg tables partitioned by bucket, published by compare-and-swap."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.arrow_schema import arrow_schema
from nbplat.adapters.iceberg.catalog import load_table, pin_of, storage_options
from nbplat.adapters.iceberg.deletes import DeletedRows
from nbplat.adapters.iceberg.event_source import file_tasks, read_rows
from nbplat.adapters.iceberg.index_snapshot import write_index_snapshot
from nbplat.adapters.iceberg.live import LiveFile
from nbplat.adapters.iceberg.manifests import Manifests, garbage_later
from nbplat.adapters.iceberg.refs import MAIN, history, set_ref
from nbplat.adapters.iceberg.scan import check_pin, pinned_files, pinned_schema
from nbplat.errors import Conflict, NotFound
from nbplat.sequence.index_report import IndexReport
from nbplat.sequence.ports import IndexFile, IndexState, SourcePart, SourcePin
from nbplat.terms import Files, SnapshotPin, StoredFile, TableName

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["IcebergIndexTables", "named_files", "unnamed_files"]

_RECORD, _BUCKETS, _BUCKET = "nbplat.index", "nbplat.buckets", "nb_bucket"
_SOURCE, _REPORT, _JOB = "nbplat.source", "nbplat.report", "nbplat.job"
_KEPT_PINS = 16


class IcebergIndexTables:
    """Implements `nbplat.sequence.ports.IndexTables` over one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pins: dict[SnapshotPin, _Pinned] = {}

    def create(
        self,
        name: str,
        schema: pa.Schema,
        *,
        record: Mapping[str, Any],
        buckets: int,
        sort: Sequence[str] = (),
        properties: Mapping[str, str] = MappingProxyType({}),
    ) -> IndexState:
        """See the port."""
        from nbplat.remote.numbering import numbered

        self._catalog.create_namespace_if_not_exists(TableName.parse(name).namespace)
        iceberg, spec, order = _layout(numbered(schema), sort)
        told = {
            _RECORD: json.dumps(dict(record), sort_keys=True),
            _BUCKETS: str(buckets),
            "format-version": "2",
            "write.parquet.compression-codec": "zstd",
            **properties,
        }
        table = self._catalog.create_table_if_not_exists(
            name, iceberg, partition_spec=spec, sort_order=order, properties=told
        )
        return _state(table, None)

    def state(self, name: str, snapshot_id: int | None = None) -> IndexState | None:
        """See the port."""
        table = self._find(name)
        if table is None:
            return None
        if snapshot_id is None:
            return _state(table, _newest_own(table))
        snapshot = table.metadata.snapshot_by_id(snapshot_id)
        if snapshot is None:
            check_pin(table, SnapshotPin(name, str(table.metadata.table_uuid), snapshot_id, 0))
        return _state(table, snapshot)

    def folder(self, name: str) -> str:
        """See the port."""
        return f"{load_table(self._catalog, name).location().rstrip('/')}/data"

    def storage(self, name: str) -> Mapping[str, str]:
        """See the port."""
        return storage_options(self._catalog, f"{load_table(self._catalog, name).location()}/")

    def publish(
        self,
        name: str,
        parent: int | None,
        *,
        added: Sequence[IndexFile],
        removed: Mapping[str, Sequence[int] | npt.NDArray[np.int64]] = MappingProxyType({}),
        replaced: Sequence[str] = (),
        source: SourcePin,
        report: IndexReport,
        summary: Mapping[str, str] = MappingProxyType({}),
        tag: str | None = None,
    ) -> SnapshotPin:
        """See the port."""
        import numpy as np
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, AssertTableUUID

        table = load_table(self._catalog, name)
        main = table.current_snapshot()
        if (done := _made_by(table, summary.get(_JOB))) is not None:
            return _pin(table, done)
        if (main.snapshot_id if main else None) != parent:
            raise _moved(name, parent, main)
        told = {
            **summary,
            _SOURCE: json.dumps(source.record(), sort_keys=True),
            _REPORT: json.dumps(report.record(), sort_keys=True),
        }
        positions = {path: np.unique(np.asarray(rows, np.int64)) for path, rows in removed.items()}
        snapshot = write_index_snapshot(
            table,
            main,
            added=added,
            removed=positions,
            replaced=replaced,
            summary=told,
            stem=(tag or "").rpartition("-")[2],
        )
        try:
            self._catalog.commit_table(
                table,
                (
                    AssertTableUUID(uuid=table.metadata.table_uuid),
                    AssertRefSnapshotId(ref=MAIN, snapshot_id=parent),
                ),
                (
                    AddSnapshotUpdate(snapshot=snapshot),
                    set_ref(MAIN, snapshot.snapshot_id),
                    *((set_ref(tag, snapshot.snapshot_id, tag=True),) if tag else ()),
                ),
            )
        except (CommitFailedException, ValueError) as exc:
            # Another commit took the sequence number; pyiceberg's catalogs say so in words only.
            if isinstance(exc, ValueError) and "sequence number" not in str(exc):
                raise
            now = load_table(self._catalog, name)
            if (done := _made_by(now, summary.get(_JOB))) is not None:
                return _pin(now, done)
            raise _moved(name, parent, now.current_snapshot()) from exc
        return _pin(table, snapshot)

    def files(self, pin: SnapshotPin, bucket: int | None = None) -> tuple[IndexFile, ...]:
        """See the port."""
        return tuple(_index_file(live, deleted) for live, deleted in self._live(pin, bucket))

    def parts(self, pin: SnapshotPin, bucket: int | None = None) -> tuple[SourcePart, ...]:
        """See the port."""
        at = self._at(pin)
        return file_tasks(self._catalog, at.table, pin, [live for live, _ in self._live(pin, bucket)], at.deleted)

    def rows(self, pin: SnapshotPin, bucket: int, columns: Sequence[str]) -> tuple[pa.Table, ...]:
        """See the port."""
        import pyarrow as pa

        def whole(part: SourcePart) -> pa.Table:
            fields = [pa.field(name, schema.field(name).type) for name in columns]
            chunks = read_rows(part.task, columns, max(part.rows, 1))
            return pa.concat_tables([pa.schema(fields).empty_table(), *chunks])

        schema = arrow_schema(pinned_schema(self._at(pin).table, pin).fields)
        return tuple(whole(part) for part in self.parts(pin, bucket))

    def held(self, name: str) -> frozenset[str]:
        """See the port; each manifest is read once."""
        table = self._find(name)
        return frozenset() if table is None else named_files(table)

    def drop(self, name: str) -> None:
        """See the port."""
        from pyiceberg.exceptions import NoSuchTableError

        for each in (name, f"{name}__vocab"):
            with contextlib.suppress(NoSuchTableError):
                self._catalog.purge_table(each)
        self._pins.clear()

    def _live(self, pin: SnapshotPin, bucket: int | None) -> list[tuple[LiveFile, int]]:
        at = self._at(pin)
        if bucket is not None:
            return at.by_bucket.get(bucket, [])
        return [each for number in sorted(at.by_bucket) for each in at.by_bucket[number]]

    def _at(self, pin: SnapshotPin) -> _Pinned:
        if pin not in self._pins:
            for oldest in list(self._pins)[: 1 - _KEPT_PINS]:
                self._pins.pop(oldest, None)
            self._pins[pin] = _Pinned(load_table(self._catalog, pin.table), pin)
        return self._pins[pin]

    def _find(self, name: str) -> Table | None:
        try:
            return load_table(self._catalog, name)
        except NotFound:
            return None


class _Pinned:
    """The files of one snapshot by bucket, oldest run first."""

    def __init__(self, table: Table, pin: SnapshotPin) -> None:
        self.table = table
        self.deleted = DeletedRows(table)
        self.by_bucket: dict[int, list[tuple[LiveFile, int]]] = {}
        found = pinned_files(table, pin, manifests=Manifests(table.io))
        for live in sorted(found, key=lambda each: (each.sequence_number, each.path)):
            gone = len(self.deleted.of(live)) if live.deletes else 0
            self.by_bucket.setdefault(int(live.file.partition[0]), []).append((live, gone))


def named_files(table: Table) -> frozenset[str]:
    """Locations of all files that any snapshot names; each manifest is read once."""
    found = {m.manifest_path: m for each in table.metadata.snapshots for m in each.manifests(table.io)}
    with garbage_later():
        entries = Manifests(table.io).entries(list(found.values()))
        return frozenset(entry.data_file.file_path for each in entries for entry in each)


def unnamed_files(table: Table, files: Files, left: Callable[[StoredFile], bool]) -> tuple[str, ...]:
    """Locations of the table's data files that may be left of a kill, as `left` tells, and that no snapshot names."""
    found = [each.location for each in files.list(f"{table.location().rstrip('/')}/data") if left(each)]
    named = named_files(table) if found else frozenset()
    return tuple(location for location in found if location not in named)


def _layout(schema: pa.Schema, sort: Sequence[str]) -> tuple[Schema, Any, Any]:
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
    from pyiceberg.transforms import IdentityTransform

    iceberg = pyarrow_to_schema(schema)
    bucket = iceberg.find_field(_BUCKET).field_id
    order = [
        SortField(iceberg.find_field(name).field_id, IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_LAST)
        for name in sort
    ]
    return iceberg, PartitionSpec(PartitionField(bucket, 1000, IdentityTransform(), _BUCKET)), SortOrder(*order)


def _state(table: Table, snapshot: Snapshot | None) -> IndexState:
    pin = _pin(table, snapshot) if snapshot else pin_of(table)
    properties = table.properties
    told = dict(snapshot.summary.additional_properties) if snapshot and snapshot.summary else {}
    return IndexState(
        pin=pin if snapshot else SnapshotPin(pin.table, pin.table_uuid, None, pin.schema_id),
        record=json.loads(properties[_RECORD]),
        buckets=int(properties[_BUCKETS]),
        source=SourcePin.from_record(json.loads(told[_SOURCE])) if _SOURCE in told else None,
        report=IndexReport.from_record(json.loads(told[_REPORT])) if _REPORT in told else None,
        schema=arrow_schema(pinned_schema(table, pin).fields),
        summary=MappingProxyType(told),
    )


def _newest_own(table: Table) -> Snapshot | None:
    """The newest snapshot that we published; maintenance by other engines may have come after it."""
    return next((each for each in history(table, table.current_snapshot()) if _told(each, _SOURCE)), None)


def _made_by(table: Table, job: str | None) -> Snapshot | None:
    """The snapshot that a job published before, in a try that died after its commit."""
    if not job:
        return None
    return next((each for each in history(table, table.current_snapshot()) if _told(each, _JOB) == job), None)


def _told(snapshot: Snapshot, name: str) -> str:
    return str((snapshot.summary[name] if snapshot.summary else None) or "")


def _pin(table: Table, snapshot: Snapshot) -> SnapshotPin:
    schema_id = table.metadata.current_schema_id if snapshot.schema_id is None else snapshot.schema_id
    return SnapshotPin(".".join(table.name()), str(table.metadata.table_uuid), snapshot.snapshot_id, schema_id)


def _moved(name: str, parent: int | None, now: Snapshot | None) -> Conflict:
    who = _told(now, _JOB) if now else ""
    by = f"job {who}" if who else "something that is not nbplat"
    return Conflict(
        "index.moved",
        f"{name} is at snapshot {now.snapshot_id if now else None} and not at {parent}: {by} has published",
        fix="run the same command again: it starts from the present index"
        if who
        else f"roll the table back to {parent} with the engine that wrote to it, or drop it and build again",
    )


def _index_file(live: LiveFile, deleted: int) -> IndexFile:
    file = live.file
    return IndexFile(live.path, int(file.partition[0]), file.record_count, file.file_size_in_bytes, deleted)
