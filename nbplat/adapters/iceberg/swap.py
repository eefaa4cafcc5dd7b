"""Writing a snapshot that swaps data files one for one, as manifests.

pyiceberg's own overwrite ties the new snapshot to the table's current schema and spec. A promotion
needs a schema that is not current yet, and keeps each file's own spec, so the manifests are written
here with pyiceberg's writers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.new_manifests import NewManifests, is_deletes, new_snapshot, totals_of
from nbplat.errors import Conflict

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
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
        if is_deletes(manifest):
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
    from pyiceberg.table.snapshots import Operation

    snapshot_id = table.metadata.new_snapshot_id()
    writer = NewManifests(table, schema, snapshot_id)
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
    told = {**_counts(parent, [entry.data_file for entry in removed], added), **properties}
    return new_snapshot(table, parent, schema, snapshot_id, manifests, Operation.OVERWRITE, told)


def _taken_over(
    table: Table, parent: Snapshot, swapped: Mapping[str, DataFile | None], writer: NewManifests
) -> tuple[list[ManifestFile], list[ManifestEntry]]:
    kept: list[ManifestFile] = []
    removed: list[ManifestEntry] = []
    for manifest in parent.manifests(table.io):
        if is_deletes(manifest):
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


def _counts(parent: Snapshot, removed: Sequence[DataFile], added: Sequence[DataFile]) -> dict[str, str]:
    """The summary's counters; totals go on from the parent's."""
    totals = totals_of(parent)
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
