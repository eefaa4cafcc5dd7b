"""Applying requirements and updates to a table's metadata, and the compare-and-swap that publishes the result."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.exceptions import ValidationError as IcebergValidationError
from pyiceberg.schema import Schema
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil, TableMetadataV1
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertCreate,
    SetPartitionStatisticsUpdate,
    SetStatisticsUpdate,
    TableRequirement,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.typedef import IcebergBaseModel

from nbplat.service.iceberg_rest.body import Call, Reply, identifier_of
from nbplat.service.iceberg_rest.catalog import Embedded
from nbplat.service.iceberg_rest.faults import bad_request, commit_failed
from nbplat.service.iceberg_rest.pointers import Identifier, Kind, Move, dotted

__all__ = ["Staged", "commit", "metadata_json", "publish", "table_json", "transaction", "write_new"]

_UPDATES: TypeAdapter[list[TableUpdate]] = TypeAdapter(list[TableUpdate])
_REQUIREMENTS: TypeAdapter[list[TableRequirement]] = TypeAdapter(list[TableRequirement])

# What pyiceberg's own catalogs start a new table from: version 1, since the first update raises it.
_EMPTY: dict[str, Any] = {"last_column_id": -1, "schema": Schema()}

# Properties that send later files elsewhere; the values are locations.
_PATH_PROPERTIES = ("write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path")


@dataclass(frozen=True, slots=True)
class Staged:
    """A change that is ready to publish.

    Attributes:
        move: The pointer to set; None when the updates change nothing.
        content: The metadata as JSON bytes.
        location: The metadata file that holds it.
        dropped: Old metadata files that the table's own settings say to delete after the commit.
    """

    move: Move | None
    content: bytes
    location: str
    dropped: tuple[str, ...] = ()


def table_json(location: str | None, content: bytes) -> bytes:
    """The protocol's LoadTableResult around metadata that is JSON already.

    Wide tables with many schemas have megabytes of it: it is neither parsed nor written again.
    """
    head = f'"metadata-location":{json.dumps(location)},' if location else ""
    return b"{" + head.encode() + b'"metadata":' + content + b',"config":{}}'


def commit(catalog: Embedded, call: Call) -> Reply:
    """Change one table, or create it when the body asserts that it does not exist."""
    identifier, body = call.identifier("table"), call.json()
    with catalog.hold([identifier]):
        staged = _stage(catalog, identifier, body)
        publish(catalog, [staged])
    return Reply(content=table_json(staged.location, staged.content))


def transaction(catalog: Embedded, call: Call) -> Reply:
    """Change several tables, all or none."""
    changes = call.json().get("table-changes")
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        raise bad_request("table-changes must be a list of objects")
    named = [(identifier_of(change.get("identifier"), "identifier"), change) for change in changes]
    if len({identifier for identifier, _ in named}) != len(named):
        raise bad_request("table-changes name a table twice")
    with catalog.hold(identifier for identifier, _ in named):
        staged: list[Staged] = []
        try:
            staged.extend(_stage(catalog, identifier, change) for identifier, change in named)
        except BaseException:
            _discard(catalog, staged)
            raise
        publish(catalog, staged)
    return Reply(204)


def publish(catalog: Embedded, staged: Sequence[Staged]) -> None:
    """Move the pointers; on failure the new metadata files go, on success the outdated ones."""
    moves = [one.move for one in staged if one.move]
    if not moves:
        return
    try:
        catalog.pointers.move(moves)
    except Exception:
        _discard(catalog, staged)
        raise
    for one in staged:
        for location in one.dropped:
            catalog.warehouse.discard(location)


def write_new(
    catalog: Embedded, identifier: Identifier, metadata: TableMetadata, *, version: int, expected: str | None
) -> Staged:
    """Write metadata to a fresh file of the table; nothing refers to it until it is published."""
    content = metadata_json(catalog, metadata)
    provider = load_location_provider(metadata.location, metadata.properties)
    location = provider.new_table_metadata_file_location(version)
    catalog.warehouse.write(location, content)
    return Staged(Move(identifier, Kind.TABLE, expected, location), content, location)


def metadata_json(catalog: Embedded, metadata: TableMetadata) -> bytes:
    """The metadata as JSON. Raises 403 when the table, or a folder its properties name, lies outside the warehouse."""
    catalog.warehouse.check(metadata.location, "the table's location")
    for key in _PATH_PROPERTIES:
        if key in metadata.properties:
            catalog.warehouse.check(metadata.properties[key], key)
    if metadata.format_version == 3 and metadata.next_row_id is None:
        # Required in v3, and pyiceberg leaves it out on the way from an empty table to its first snapshots.
        ends = [(s.first_row_id or 0) + (s.added_rows or 0) for s in metadata.snapshots]
        metadata = metadata.model_copy(update={"next_row_id": max(ends, default=0)})
    # The class's own method refuses v3 as a whole, though what is missing is only the writing of v3 data files.
    return IcebergBaseModel.model_dump_json(metadata).encode()


def _stage(catalog: Embedded, identifier: Identifier, body: dict[str, Any]) -> Staged:
    requirements = _REQUIREMENTS.validate_python(body.get("requirements") or [])
    updates = _UPDATES.validate_python(body.get("updates") or [])
    _check_locations(catalog, updates)
    expected = catalog.pointers.find(identifier, Kind.TABLE)
    creates = any(isinstance(requirement, AssertCreate) for requirement in requirements)
    if expected is None and not creates:
        raise NoSuchTableError(f"Table does not exist: {dotted(identifier)}")
    base: TableMetadata | None = None
    raw = b""
    if expected is not None:
        raw = catalog.warehouse.read(expected)
        base = TableMetadataUtil.parse_raw(raw.decode())
    else:
        catalog.need_namespace(identifier[:-1])
    for requirement in requirements:
        requirement.validate(base)
    metadata = _apply(base, tuple(updates), expected)
    if base is not None and expected is not None and metadata == base:
        return Staged(None, raw, expected)
    staged = write_new(catalog, identifier, metadata, version=_version(expected) + 1, expected=expected)
    return Staged(staged.move, staged.content, staged.location, _outdated(base, metadata))


def _apply(base: TableMetadata | None, updates: tuple[TableUpdate, ...], location: str | None) -> TableMetadata:
    try:
        return update_table_metadata(
            base_metadata=base or TableMetadataV1.model_construct(**_EMPTY),
            updates=updates,
            enforce_validation=base is None,
            metadata_location=location,
        )
    except (ValueError, KeyError, TypeError, NotImplementedError, IcebergValidationError) as exc:
        if re.search(r"sequence number|first.row.id|next-row-id", str(exc)):
            # The snapshot was made on a state that has moved: another branch was written meanwhile.
            raise commit_failed(f"the snapshot is based on an older state: {exc}") from None
        raise bad_request(f"an update cannot be applied: {exc}") from None


def _check_locations(catalog: Embedded, updates: Sequence[TableUpdate]) -> None:
    for update in updates:
        if isinstance(update, AddSnapshotUpdate):
            catalog.warehouse.check(update.snapshot.manifest_list, "the manifest list")
        elif isinstance(update, SetStatisticsUpdate):
            catalog.warehouse.check(update.statistics.statistics_path, "the statistics file")
        elif isinstance(update, SetPartitionStatisticsUpdate):
            catalog.warehouse.check(update.partition_statistics.statistics_path, "the statistics file")


def _version(location: str | None) -> int:
    found = re.match(r"v?(\d+)[-.]", (location or "").rsplit("/", 1)[-1])
    return int(found[1]) if found else -1


def _outdated(base: TableMetadata | None, metadata: TableMetadata) -> tuple[str, ...]:
    if base is None or metadata.properties.get("write.metadata.delete-after-commit.enabled", "").lower() != "true":
        return ()
    kept = {entry.metadata_file for entry in metadata.metadata_log}
    return tuple(entry.metadata_file for entry in base.metadata_log if entry.metadata_file not in kept)


def _discard(catalog: Embedded, staged: Sequence[Staged]) -> None:
    for one in staged:
        if one.move:
            catalog.warehouse.discard(one.location)
