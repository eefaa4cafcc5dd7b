"""The snapshot of one change of an index: data files added, rows removed by position, files taken out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.file_metrics import FileMetrics
from nbplat.adapters.iceberg.manifests import Manifests
from nbplat.adapters.iceberg.new_manifests import NewManifests, is_deletes, new_snapshot, totals_of
from nbplat.adapters.iceberg.position_deletes import write_position_deletes
from nbplat.errors import Conflict, InternalError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Operation, Snapshot

    from nbplat.sequence.ports import IndexFile

__all__ = ["write_index_snapshot"]


def write_index_snapshot(
    table: Table,
    parent: Snapshot | None,
    *,
    added: Sequence[IndexFile],
    removed: Mapping[str, npt.NDArray[np.int64]],
    replaced: Collection[str],
    summary: Mapping[str, str],
    stem: str = "",
) -> Snapshot:
    """Write delete files, manifests and the manifest list on top of `parent`; commits nothing.

    Delete files that no data file is left for go with the files that are replaced.

    Args:
        stem: Begins the names of the delete files.

    Raises:
        Conflict: a data file that rows are removed of, or that is replaced, is not live in `parent`.
    """
    snapshot_id = table.metadata.new_snapshot_id()
    writer = NewManifests(table, table.schema(), snapshot_id)
    before = _Entries(table, parent)
    gone = before.data_of(replaced)
    hit = {path: positions for path, positions in removed.items() if len(positions) and path not in replaced}
    new_data = _data_files(table, added)
    new_deletes = _delete_files(table, before.data_of(hit), hit, stem)
    idle = before.idle_deletes(set(replaced))
    manifests = before.kept(writer, set(replaced), {entry.data_file.file_path for entry in idle})
    manifests += writer.added(new_data) + writer.deleted(gone)
    manifests += writer.added(new_deletes, deletes=True) + writer.deleted(idle, deletes=True)
    counts = _counts(parent, new_data, [e.data_file for e in gone], new_deletes, [e.data_file for e in idle])
    operation = _operation(new_data, gone, new_deletes, summary)
    return new_snapshot(table, parent, table.schema(), snapshot_id, manifests, operation, {**counts, **summary})


class _Entries:
    """What is live in the parent, by manifest."""

    def __init__(self, table: Table, parent: Snapshot | None) -> None:
        found = parent.manifests(table.io) if parent else []
        entries = Manifests(table.io).entries(found)
        self._by_manifest: list[tuple[ManifestFile, list[ManifestEntry]]] = list(zip(found, entries, strict=True))
        self._data = {
            entry.data_file.file_path: entry
            for manifest, entries in self._by_manifest
            if not is_deletes(manifest)
            for entry in entries
        }

    def data_of(self, paths: Collection[str]) -> list[ManifestEntry]:
        """Entries of live data files, in the order of `paths`."""
        missing = sorted(path for path in paths if path not in self._data)
        if missing:
            raise Conflict(
                "index.file_gone",
                f"{len(missing)} data files that were to be changed are not in the index any more",
                fix="run the same command again: it starts from the present index",
                where=missing[0],
            )
        return [self._data[path] for path in paths]

    def idle_deletes(self, replaced: Collection[str]) -> list[ManifestEntry]:
        """Delete files of partitions whose data files all go: nothing that stays can be in their scope."""
        if not replaced:
            return []
        left = {_partition(entry.data_file) for path, entry in self._data.items() if path not in replaced}
        return [
            entry
            for manifest, entries in self._by_manifest
            if is_deletes(manifest)
            for entry in entries
            if _partition(entry.data_file) not in left
        ]

    def kept(self, writer: NewManifests, data: Collection[str], deletes: Collection[str]) -> list[ManifestFile]:
        """Manifests as they are, or without the files that go."""
        kept: list[ManifestFile] = []
        for manifest, entries in self._by_manifest:
            going = deletes if is_deletes(manifest) else data
            stay = [entry for entry in entries if entry.data_file.file_path not in going]
            if len(stay) == len(entries):
                kept += [manifest] if entries else []
            else:
                kept += writer.existing(stay, deletes=is_deletes(manifest))
        return kept


def _data_files(table: Table, added: Sequence[IndexFile]) -> list[DataFile]:
    from pyiceberg.io.pyarrow import schema_to_pyarrow
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    if not added:
        return []
    arrow: pa.Schema = schema_to_pyarrow(table.schema())
    metrics = FileMetrics(table, arrow)
    files = []
    for file in added:
        record = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=file.path,
            file_format=FileFormat.PARQUET,
            partition=Record(file.bucket),
            record_count=file.rows,
            file_size_in_bytes=file.file_bytes,
            sort_order_id=table.metadata.default_sort_order_id,
            equality_ids=None,
            key_metadata=None,
            **metrics.of(file.path),
        )
        record.spec_id = table.spec().spec_id
        files.append(record)
    return files


def _delete_files(
    table: Table, hit: Sequence[ManifestEntry], removed: Mapping[str, npt.NDArray[np.int64]], stem: str
) -> list[DataFile]:
    """One delete file a bucket."""
    by_partition: dict[tuple[Any, ...], list[DataFile]] = defaultdict(list)
    for entry in hit:
        file = entry.data_file
        positions = removed[file.file_path]
        if positions.min() < 0 or positions.max() >= file.record_count:
            raise InternalError(
                "index.position",
                f"a row {int(positions.max())} of {file.record_count} was to be removed",
                fix="report it",
                where=file.file_path,
            )
        by_partition[_partition(file)].append(file)
    return [
        write_position_deletes(
            table,
            files[0].spec_id,
            files[0].partition,
            {file.file_path: removed[file.file_path] for file in files},
            stem,
        )
        for _, files in sorted(by_partition.items())
    ]


def _partition(file: DataFile) -> tuple[Any, ...]:
    return (file.spec_id, *(file.partition[place] for place in range(len(file.partition))))


def _operation(
    added: Sequence[DataFile], gone: Sequence[ManifestEntry], deletes: Sequence[DataFile], summary: Mapping[str, str]
) -> Operation:
    from pyiceberg.table.snapshots import Operation

    if summary.get("nbplat.step") == "compact":
        return Operation.REPLACE
    if gone or (added and deletes):
        return Operation.OVERWRITE
    return Operation.DELETE if deletes else Operation.APPEND


def _counts(
    parent: Snapshot | None,
    added: Sequence[DataFile],
    gone: Sequence[DataFile],
    deletes: Sequence[DataFile],
    idle: Sequence[DataFile],
) -> dict[str, str]:
    """The summary's counters; totals go on from the parent's."""
    totals = totals_of(parent)
    rows_in, rows_out, new, old = (sum(file.record_count for file in files) for files in (added, gone, deletes, idle))
    bytes_in = sum(file.file_size_in_bytes for file in (*added, *deletes))
    bytes_out = sum(file.file_size_in_bytes for file in (*gone, *idle))
    totals["total-records"] += rows_in - rows_out
    totals["total-data-files"] += len(added) - len(gone)
    totals["total-delete-files"] += len(deletes) - len(idle)
    totals["total-position-deletes"] += new - old
    totals["total-files-size"] += bytes_in - bytes_out
    changed = {
        "added-data-files": len(added),
        "deleted-data-files": len(gone),
        "added-records": rows_in,
        "deleted-records": rows_out,
        "added-delete-files": len(deletes),
        "added-position-delete-files": len(deletes),
        "removed-delete-files": len(idle),
        "added-position-deletes": new,
        "removed-position-deletes": old,
        "added-files-size": bytes_in,
        "removed-files-size": bytes_out,
    }
    return {name: str(count) for name, count in changed.items() if count} | {
        name: str(count) for name, count in totals.items()
    }
