"""Writing the manifests of a new snapshot, of data files or of delete files, with pyiceberg's writers."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile, ManifestWriter
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Operation, Snapshot

__all__ = ["NewManifests", "is_deletes", "new_snapshot", "totals_of"]

_TOTALS = (
    "total-records",
    "total-data-files",
    "total-delete-files",
    "total-position-deletes",
    "total-equality-deletes",
    "total-files-size",
)


class NewManifests:
    """New manifests of one snapshot, one per partition spec, status and kind."""

    def __init__(self, table: Table, schema: Schema, snapshot_id: int) -> None:
        self._table = table
        self._schema = schema
        self._snapshot_id = snapshot_id
        self._uuid = uuid.uuid4()
        self._written = 0

    def existing(self, entries: Sequence[ManifestEntry], *, deletes: bool = False) -> list[ManifestFile]:
        """Files that stay; they keep their sequence numbers."""
        from pyiceberg.manifest import ManifestEntryStatus

        rows = [(entry, entry.data_file, ManifestEntryStatus.EXISTING, entry.snapshot_id) for entry in entries]
        return self._write(rows, deletes)

    def deleted(self, entries: Sequence[ManifestEntry], *, deletes: bool = False) -> list[ManifestFile]:
        """Files that go."""
        from pyiceberg.manifest import ManifestEntryStatus

        rows = [(entry, entry.data_file, ManifestEntryStatus.DELETED, self._snapshot_id) for entry in entries]
        return self._write(rows, deletes)

    def added(self, files: Sequence[DataFile], *, deletes: bool = False) -> list[ManifestFile]:
        """Files that come; they inherit the snapshot's sequence number."""
        from pyiceberg.manifest import ManifestEntryStatus

        return self._write([(None, new, ManifestEntryStatus.ADDED, self._snapshot_id) for new in files], deletes)

    def _write(
        self, rows: Sequence[tuple[ManifestEntry | None, DataFile, ManifestEntryStatus, int | None]], deletes: bool
    ) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntry

        by_spec: dict[int, list[ManifestEntry]] = defaultdict(list)
        for entry, data_file, status, snapshot_id in rows:
            by_spec[data_file.spec_id].append(
                ManifestEntry.from_args(
                    status=status,
                    snapshot_id=snapshot_id,
                    sequence_number=entry.sequence_number if entry else None,
                    file_sequence_number=entry.file_sequence_number if entry else None,
                    data_file=data_file,
                )
            )
        manifests = []
        for spec_id, entries in sorted(by_spec.items()):
            location = self._table.location_provider().new_metadata_location(f"{self._uuid}-m{self._written}.avro")
            self._written += 1
            with self._writer(spec_id, location, deletes) as writer:
                for entry in entries:
                    writer.add_entry(entry)
            manifests.append(writer.to_manifest_file())
        return manifests

    def _writer(self, spec_id: int, location: str, deletes: bool) -> ManifestWriter:
        from pyiceberg.manifest import ManifestContent, ManifestWriterV2, write_manifest

        spec, output = self._table.specs()[spec_id], self._table.io.new_output(location)
        if not deletes:
            return write_manifest(
                format_version=self._table.format_version,
                spec=spec,
                schema=self._schema,
                output_file=output,
                snapshot_id=self._snapshot_id,
                avro_compression="deflate",
            )

        class DeleteManifestWriter(ManifestWriterV2):
            """pyiceberg's own says ``data`` whatever it holds."""

            def content(self) -> ManifestContent:
                return ManifestContent.DELETES

            @property
            def _meta(self) -> dict[str, str]:
                return {**super()._meta, "content": "deletes"}

        return DeleteManifestWriter(spec, self._schema, output, self._snapshot_id, "deflate")


def new_snapshot(
    table: Table,
    parent: Snapshot | None,
    schema: Schema,
    snapshot_id: int,
    manifests: Sequence[ManifestFile],
    operation: Operation,
    summary: Mapping[str, str],
) -> Snapshot:
    """Write the manifest list and make the snapshot's record; commits nothing."""
    from pyiceberg.manifest import write_manifest_list
    from pyiceberg.table.snapshots import Snapshot, Summary

    metadata = table.metadata
    sequence_number = metadata.next_sequence_number()
    parent_id = parent.snapshot_id if parent else None
    location = table.location_provider().new_metadata_location(f"snap-{snapshot_id}-0-{uuid.uuid4()}.avro")
    with write_manifest_list(
        format_version=metadata.format_version,
        output_file=table.io.new_output(location),
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent_id,
        sequence_number=sequence_number,
        avro_compression="deflate",
    ) as manifest_list:
        manifest_list.add_manifests(list(manifests))
    return Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent_id,
        manifest_list=location,
        sequence_number=sequence_number,
        summary=Summary(operation, **dict(summary)),
        schema_id=schema.schema_id,
    )


def is_deletes(manifest: ManifestFile) -> bool:
    """Whether a manifest is about delete files."""
    from pyiceberg.manifest import ManifestContent

    return bool(manifest.content == ManifestContent.DELETES)


def totals_of(parent: Snapshot | None) -> dict[str, int]:
    """The ``total-`` counters of a snapshot's summary, 0 where it has none."""
    summary = parent.summary if parent else None
    return {name: int((summary[name] if summary else None) or 0) for name in _TOTALS}
