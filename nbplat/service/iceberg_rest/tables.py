"""Tables: list, create, load, drop, rename, register. Changes of a table are in `commits`."""

from __future__ import annotations

import hashlib

from pyiceberg.exceptions import NoSuchTableError, ValidationError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataUtil, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder

from nbplat.service.iceberg_rest import purge
from nbplat.service.iceberg_rest.body import Call, Reply, check_name, identifier_of, string_map
from nbplat.service.iceberg_rest.catalog import Embedded
from nbplat.service.iceberg_rest.commits import metadata_json, publish, table_json, write_new
from nbplat.service.iceberg_rest.faults import already_exists, bad_request, forbidden
from nbplat.service.iceberg_rest.pointers import Identifier, Kind, Move, dotted

__all__ = ["create", "drop", "exists", "list_all", "load", "register", "rename", "rename_target"]


def list_all(catalog: Embedded, call: Call) -> Reply:
    catalog.need_namespace(call.namespace)
    names = catalog.pointers.names(call.namespace, Kind.TABLE)
    return Reply(content={"identifiers": [{"namespace": list(call.namespace), "name": name} for name in names]})


def create(catalog: Embedded, call: Call) -> Reply:
    """Create a table; with `stage-create` only say what it would be, for a commit that asserts its absence."""
    body = call.json()
    identifier = (*call.namespace, check_name(body.get("name")))
    catalog.need_namespace(identifier[:-1])
    if not isinstance(body.get("schema"), dict):
        raise bad_request("schema must be an object")
    schema = Schema.model_validate(body["schema"])
    spec = PartitionSpec.model_validate(body["partition-spec"]) if body.get("partition-spec") else None
    order = SortOrder.model_validate(body["write-order"]) if body.get("write-order") else None
    if any(catalog.pointers.find(identifier, kind) for kind in Kind):
        raise already_exists(f"{dotted(identifier)} already exists")
    try:
        metadata = new_table_metadata(
            location=catalog.location_for(identifier, body.get("location")),
            schema=schema,
            partition_spec=spec or UNPARTITIONED_PARTITION_SPEC,
            sort_order=order or UNSORTED_SORT_ORDER,
            properties=string_map(body.get("properties"), "properties"),
        )
    except ValueError as exc:
        raise bad_request(f"the table cannot be made: {exc}") from None
    if body.get("stage-create"):
        return Reply(content=table_json(None, metadata_json(catalog, metadata)))
    staged = write_new(catalog, identifier, metadata, version=0, expected=None)
    publish(catalog, [staged])
    return Reply(content=table_json(staged.location, staged.content), headers={"etag": _etag(staged.location)})


def load(catalog: Embedded, call: Call) -> Reply:
    """The metadata file as it lies on disk, or 304 when the client has that one."""
    location = _pointer(catalog, call.identifier("table"))
    etag = _etag(location)
    if etag in [tag.strip() for tag in call.etag.split(",")]:
        return Reply(304, headers={"etag": etag})
    return Reply(content=table_json(location, catalog.warehouse.read(location)), headers={"etag": etag})


def exists(catalog: Embedded, call: Call) -> Reply:
    _pointer(catalog, call.identifier("table"))
    return Reply(204)


def drop(catalog: Embedded, call: Call) -> Reply:
    """Forget a table; with `purgeRequested` its files go too."""
    identifier = call.identifier("table")
    with catalog.hold([identifier]):
        location = _pointer(catalog, identifier)
        if not catalog.pointers.drop(identifier, Kind.TABLE):
            raise NoSuchTableError(f"Table does not exist: {dotted(identifier)}")
    if call.query.get("purgeRequested", "").lower() == "true":
        purge.delete_files(catalog, location)
    return Reply(204)


def rename(catalog: Embedded, call: Call) -> Reply:
    source, target = rename_target(catalog, call)
    with catalog.hold([source, target]):
        if not catalog.pointers.rename(source, target, Kind.TABLE):
            raise NoSuchTableError(f"Table does not exist: {dotted(source)}")
    return Reply(204)


def rename_target(catalog: Embedded, call: Call) -> tuple[Identifier, Identifier]:
    """Read source and destination; the destination's namespace must exist.

    Spark writes its own name of the catalog in front of the destination.
    """
    body = call.json()
    source = identifier_of(body.get("source"), "source")
    target = identifier_of(body.get("destination"), "destination")
    if len(target) > 2 and target[0] == catalog.name and not catalog.sql.namespace_exists(target[:-1]):
        target = target[1:]
    catalog.need_namespace(target[:-1])
    return source, target


def register(catalog: Embedded, call: Call) -> Reply:
    """Take in a table whose metadata file lies in the warehouse already."""
    body = call.json()
    identifier = (*call.namespace, check_name(body.get("name")))
    location = body.get("metadata-location")
    if not isinstance(location, str):
        raise bad_request("metadata-location must be a string")
    catalog.warehouse.check(location, "the metadata file")
    catalog.need_namespace(identifier[:-1])
    content = catalog.warehouse.read(location)
    try:
        metadata = TableMetadataUtil.parse_raw(content.decode())
    except (ValueError, ValidationError):
        raise bad_request(f"{location} is not the metadata of a table") from None
    if not catalog.warehouse.holds(metadata.location):
        raise forbidden(f"the table of {location} lives outside the warehouse")
    with catalog.hold([identifier]):
        expected = catalog.pointers.find(identifier, Kind.TABLE) if body.get("overwrite") is True else None
        catalog.pointers.move([Move(identifier, Kind.TABLE, expected, location)])
    return Reply(content=table_json(location, content), headers={"etag": _etag(location)})


def _pointer(catalog: Embedded, identifier: Identifier) -> str:
    location = catalog.pointers.find(identifier, Kind.TABLE)
    if location is None:
        raise NoSuchTableError(f"Table does not exist: {dotted(identifier)}")
    return location


def _etag(location: str) -> str:
    # A metadata file is never written twice, so its name stands for its content.
    return f'"{hashlib.sha256(location.encode()).hexdigest()[:32]}"'
