"""Writing a snapshot that swaps data files one for one, as manifests.

pyiceberg's own overwrite ties the new snapshot to the table's current schema and spec. A promotion
needs a schema that is not current yet, and keeps each file's own spec, so the manifests are written
here with pyiceberg's writers.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.errors import Conflict

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["FileSwap", "live_data_files", "write_swap"]


@dataclass(frozen=True, slots=True)
class FileSwap:
    """One data file out, another in, in the same partition; None when no row of it is left."""

    old_path: str
    new: DataFile | None


def live_data_files(table: Table, snapshot: Snapshot, paths: set[str]) -> dict[str, DataFile]:
    """The manifest records of the given live data files; missing ones are left out."""
    found: dict[str, DataFile] = {}
    for manifest in snapshot.manifests(table.io):
        if _is_deletes(manifest):
            continue
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            if entry.data_file.file_path in paths:
                found[entry.data_file.file_path] = entry.data_file
    return found


def write_swap(
    table: Table, parent: Snapshot, schema: Schema, swaps: Sequence[FileSwap], properties: Mapping[str, str]
) -> Snapshot:
    """Write manifests and the manifest list of a snapshot on top of `parent`; commits nothing.

    Manifests without a swapped file are taken over as they are; entries that stay keep their
    sequence numbers; there is one new manifest per partition spec.

    Raises:
        Conflict: a file to be swapped out is not live in `parent`.
    """
    from pyiceberg.manifest import write_manifest_list
    from pyiceberg.table.snapshots import Operation, Snapshot, Summary

    metadata = table.metadata
    snapshot_id = metadata.new_snapshot_id()
    sequence_number = metadata.next_sequence_number()
    writer = _Manifests(table, schema, snapshot_id)
    new_by_old = {swap.old_path: swap.new for swap in swaps}
    manifests, removed = _taken_over(table, parent, new_by_old, writer)
    missing = sorted(new_by_old.keys() - {entry.data_file.file_path for entry in removed})
    if missing:
        raise Conflict(
            "promotion.base_changed",
            f"{len(missing)} data files to be replaced are not live any more",
            fix="plan the run again on the present snapshot",
            where=missing[0],
        )
    added = [new for entry in removed if (new := new_by_old[entry.data_file.file_path]) is not None]
    manifests += writer.added(added)
    manifests += writer.deleted(removed)
    location = table.location_provider().new_metadata_location(f"snap-{snapshot_id}-0-{uuid.uuid4()}.avro")
    with write_manifest_list(
        format_version=metadata.format_version,
        output_file=table.io.new_output(location),
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent.snapshot_id,
        sequence_number=sequence_number,
        avro_compression="deflate",
    ) as manifest_list:
        manifest_list.add_manifests(manifests)
    return Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent.snapshot_id,
        manifest_list=location,
        sequence_number=sequence_number,
        summary=Summary(
            Operation.OVERWRITE, **_counts(parent, [entry.data_file for entry in removed], added), **dict(properties)
        ),
        schema_id=schema.schema_id,
    )


def _taken_over(
    table: Table, parent: Snapshot, swapped: Mapping[str, DataFile | None], writer: _Manifests
) -> tuple[list[ManifestFile], list[ManifestEntry]]:
    kept: list[ManifestFile] = []
    removed: list[ManifestEntry] = []
    for manifest in parent.manifests(table.io):
        if _is_deletes(manifest):
            kept.append(manifest)
            continue
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        out = [entry for entry in entries if entry.data_file.file_path in swapped]
        if not out:
            kept.append(manifest)
            continue
        removed += out
        kept += writer.existing([entry for entry in entries if entry.data_file.file_path not in swapped])
    return kept, removed


class _Manifests:
    """Writes new manifests of one snapshot, one per partition spec and kind."""

    def __init__(self, table: Table, schema: Schema, snapshot_id: int) -> None:
        self._table = table
        self._schema = schema
        self._snapshot_id = snapshot_id
        self._uuid = uuid.uuid4()
        self._written = 0

    def existing(self, entries: Sequence[ManifestEntry]) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntryStatus

        return self._write(
            [(entry, entry.data_file, ManifestEntryStatus.EXISTING, entry.snapshot_id) for entry in entries]
        )

    def deleted(self, entries: Sequence[ManifestEntry]) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntryStatus

        return self._write(
            [(entry, entry.data_file, ManifestEntryStatus.DELETED, self._snapshot_id) for entry in entries]
        )

    def added(self, files: Sequence[DataFile]) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntryStatus

        return self._write([(None, new, ManifestEntryStatus.ADDED, self._snapshot_id) for new in files])

    def _write(
        self, rows: Sequence[tuple[ManifestEntry | None, DataFile, ManifestEntryStatus, int | None]]
    ) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntry, write_manifest

        by_spec: dict[int, list[ManifestEntry]] = defaultdict(list)
        for entry, data_file, status, snapshot_id in rows:
            by_spec[data_file.spec_id].append(
                ManifestEntry.from_args(
                    status=status,
                    snapshot_id=snapshot_id,
                    # An added file inherits the snapshot's number; the others keep theirs.
                    sequence_number=entry.sequence_number if entry else None,
                    file_sequence_number=entry.file_sequence_number if entry else None,
                    data_file=data_file,
                )
            )
        manifests = []
        for spec_id, entries in sorted(by_spec.items()):
            location = self._table.location_provider().new_metadata_location(f"{self._uuid}-m{self._written}.avro")
            self._written += 1
            with write_manifest(
                format_version=self._table.format_version,
                spec=self._table.specs()[spec_id],
                schema=self._schema,
                output_file=self._table.io.new_output(location),
                snapshot_id=self._snapshot_id,
                avro_compression="deflate",
            ) as writer:
                for entry in entries:
                    writer.add_entry(entry)
            manifests.append(writer.to_manifest_file())
        return manifests


def _is_deletes(manifest: ManifestFile) -> bool:
    from pyiceberg.manifest import ManifestContent

    return bool(manifest.content == ManifestContent.DELETES)


def _counts(parent: Snapshot, removed: Sequence[DataFile], added: Sequence[DataFile]) -> dict[str, str]:
    """The summary's counters; totals go on from the parent's."""
    before = parent.summary
    totals = {
        name: int((before[name] if before else None) or 0)
        for name in (
            "total-records",
            "total-data-files",
            "total-delete-files",
            "total-position-deletes",
            "total-equality-deletes",
            "total-files-size",
        )
    }
    out_rows, in_rows = (sum(file.record_count for file in files) for files in (removed, added))
    out_bytes, in_bytes = (sum(file.file_size_in_bytes for file in files) for files in (removed, added))
    totals["total-records"] += in_rows - out_rows
    totals["total-data-files"] += len(added) - len(removed)
    totals["total-files-size"] += in_bytes - out_bytes
    return {
        "added-data-files": str(len(added)),
        "deleted-data-files": str(len(removed)),
        "added-records": str(in_rows),
        "deleted-records": str(out_rows),
        "added-files-size": str(in_bytes),
        "removed-files-size": str(out_bytes),
        # Lets Iceberg's own tools cherry-pick the swap.
        "replace-partitions": "true",
        **{name: str(value) for name, value in totals.items()},
    }
