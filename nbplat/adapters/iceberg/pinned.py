"""A pin as a metadata file of its own: engines that open tables by location read it without any catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table
from nbplat.adapters.iceberg.scan import check_pin
from nbplat.terms import SnapshotPin, content_hash

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["write_pinned"]


def write_pinned(catalog: Catalog, pin: SnapshotPin, folder: Path) -> Path:
    """Write a metadata file whose present state is the pin: its snapshot and its schema, and no other.

    A reader of it sees the pinned rows under the pinned names, whatever is committed meanwhile. Nothing
    is locked or changed: a snapshot's files are never rewritten.

    Args:
        folder: On this machine; made when missing.

    Raises:
        Conflict: the snapshot was expired, or the table replaced.
    """
    from pyiceberg.table.refs import SnapshotRef

    table = load_table(catalog, pin.table)
    check_pin(table, pin)
    snapshot = table.metadata.snapshot_by_id(pin.snapshot_id or -1)
    main = {"snapshot-id": pin.snapshot_id, "type": "branch"}
    metadata = table.metadata.model_copy(
        update={
            "current_schema_id": pin.schema_id,
            "current_snapshot_id": pin.snapshot_id,
            "snapshots": [snapshot] if snapshot else [],
            "refs": {"main": SnapshotRef.model_validate(main)} if snapshot else {},
            "snapshot_log": [],
            "metadata_log": [],
            "statistics": [],
            "partition_statistics": [],
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    # The name is the pin: two steps that read the same one write the same file.
    name = content_hash([pin.table_uuid, pin.snapshot_id, pin.schema_id])[:24]
    path = folder / f"{name}.metadata.json"
    fresh = folder / f"{name}.partial"
    fresh.write_text(metadata.model_dump_json(by_alias=True, exclude_none=True))
    fresh.replace(path)
    return path
