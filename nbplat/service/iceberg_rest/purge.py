"""Deleting the files of a dropped table: those its own metadata reaches, and only inside the warehouse."""

from __future__ import annotations

import logging

from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil

from nbplat.service.iceberg_rest.catalog import Embedded

__all__ = ["delete_files"]

log = logging.getLogger(__name__)


def delete_files(catalog: Embedded, location: str) -> None:
    """Delete everything that the metadata file at `location` reaches.

    The pointer is gone already, so a file that cannot be read or deleted is left and logged, not raised.
    A table with ``gc.enabled=false`` shares its files and keeps them.
    """
    try:
        metadata = TableMetadataUtil.parse_raw(catalog.warehouse.read(location).decode())
    except Exception:
        log.warning("cannot purge: %s is unreadable", location, exc_info=True)
        return
    if metadata.properties.get("gc.enabled", "true").lower() == "false":
        return
    for path in sorted(_reachable(catalog, metadata)):
        catalog.warehouse.discard(path)
    for entry in metadata.metadata_log:
        catalog.warehouse.discard(entry.metadata_file)
    catalog.warehouse.discard(location)


def _reachable(catalog: Embedded, metadata: TableMetadata) -> set[str]:
    found = {statistics.statistics_path for statistics in metadata.statistics}
    found |= {statistics.statistics_path for statistics in metadata.partition_statistics}
    seen: set[str] = set()
    for snapshot in metadata.snapshots:
        # A client chose these paths; what lies outside is neither read nor deleted.
        if not catalog.warehouse.holds(snapshot.manifest_list):
            continue
        found.add(snapshot.manifest_list)
        try:
            io = catalog.io(snapshot.manifest_list)
            for manifest in snapshot.manifests(io):
                path = manifest.manifest_path
                if path in seen or not catalog.warehouse.holds(path):
                    continue
                seen.add(path)
                found |= {
                    entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io, discard_deleted=False)
                }
        except Exception:
            log.warning("cannot list the files of snapshot %s", snapshot.snapshot_id, exc_info=True)
    return found | seen
