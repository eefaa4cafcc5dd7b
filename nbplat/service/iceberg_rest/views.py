"""Views: rows of kind VIEW, their metadata files beside the tables'."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from pyiceberg.exceptions import NoSuchViewError
from pyiceberg.view.metadata import ViewMetadata

from nbplat.service.iceberg_rest.body import Call, Reply, check_name, string_map
from nbplat.service.iceberg_rest.catalog import Embedded
from nbplat.service.iceberg_rest.commits import table_json
from nbplat.service.iceberg_rest.faults import bad_request, commit_failed
from nbplat.service.iceberg_rest.pointers import Identifier, Kind, Move, dotted
from nbplat.service.iceberg_rest.tables import rename_target

__all__ = ["create", "drop", "exists", "list_all", "load", "rename", "replace"]

Metadata = dict[str, Any]


def list_all(catalog: Embedded, call: Call) -> Reply:
    catalog.need_namespace(call.namespace)
    names = catalog.pointers.names(call.namespace, Kind.VIEW)
    return Reply(content={"identifiers": [{"namespace": list(call.namespace), "name": name} for name in names]})


def create(catalog: Embedded, call: Call) -> Reply:
    body = call.json()
    identifier = (*call.namespace, check_name(body.get("name")))
    catalog.need_namespace(identifier[:-1])
    if not isinstance(body.get("schema"), dict) or not isinstance(body.get("view-version"), dict):
        raise bad_request("schema and view-version must be objects")
    schema = {"schema-id": 0, **body["schema"]}
    version = {"timestamp-ms": _now_ms(), **body["view-version"], "version-id": 1, "schema-id": schema["schema-id"]}
    metadata = {
        "view-uuid": str(uuid.uuid4()),
        "format-version": 1,
        "location": catalog.location_for(identifier, body.get("location")),
        "schemas": [schema],
        "current-version-id": 1,
        "versions": [version],
        "version-log": [{"timestamp-ms": version["timestamp-ms"], "version-id": 1}],
        "properties": string_map(body.get("properties"), "properties"),
    }
    return _write(catalog, identifier, metadata, expected=None)


def load(catalog: Embedded, call: Call) -> Reply:
    location = _pointer(catalog, call.identifier("view"))
    return Reply(content=table_json(location, catalog.warehouse.read(location)))


def exists(catalog: Embedded, call: Call) -> Reply:
    _pointer(catalog, call.identifier("view"))
    return Reply(204)


def replace(catalog: Embedded, call: Call) -> Reply:
    """Apply updates: a new version, another location, other properties."""
    identifier, body = call.identifier("view"), call.json()
    with catalog.hold([identifier]):
        location = _pointer(catalog, identifier)
        metadata: Metadata = json.loads(catalog.warehouse.read(location))
        for requirement in body.get("requirements") or []:
            if requirement.get("type") != "assert-view-uuid":
                raise bad_request(f"unknown requirement {requirement.get('type')!r}")
            if requirement.get("uuid") != metadata["view-uuid"]:
                raise commit_failed(f"{dotted(identifier)} is another view by now")
        try:
            _apply(metadata, body.get("updates") or [])
        except (KeyError, TypeError, AttributeError) as exc:
            raise bad_request(f"an update is malformed: {exc}") from None
        catalog.warehouse.check(metadata["location"], "the location")
        return _write(catalog, identifier, metadata, expected=location)


def drop(catalog: Embedded, call: Call) -> Reply:
    identifier = call.identifier("view")
    if not catalog.pointers.drop(identifier, Kind.VIEW):
        raise _lost(identifier)
    return Reply(204)


def rename(catalog: Embedded, call: Call) -> Reply:
    source, target = rename_target(catalog, call)
    if not catalog.pointers.rename(source, target, Kind.VIEW):
        raise _lost(source)
    return Reply(204)


def _apply(metadata: Metadata, updates: list[Metadata]) -> None:
    """Change `metadata` in place; -1 as an id means the one added last."""
    schema_id = version_id = -1
    for update in updates:
        match update["action"]:
            case "assign-uuid":
                metadata["view-uuid"] = update["uuid"]
            case "upgrade-format-version":
                metadata["format-version"] = update["format-version"]
            case "add-schema":
                schema_id = _add_schema(metadata, update["schema"])
            case "set-location":
                metadata["location"] = update["location"]
            case "set-properties":
                metadata["properties"].update(string_map(update["updates"], "updates"))
            case "remove-properties":
                for key in update["removals"]:
                    metadata["properties"].pop(key, None)
            case "add-view-version":
                version = {"timestamp-ms": _now_ms(), **update["view-version"]}
                version["version-id"] = version_id = 1 + max(v["version-id"] for v in metadata["versions"])
                if version.get("schema-id") == -1:
                    version["schema-id"] = schema_id
                metadata["versions"].append(version)
            case "set-current-view-version":
                current = update["view-version-id"]
                current = version_id if current == -1 else current
                if current not in {v["version-id"] for v in metadata["versions"]}:
                    raise bad_request(f"the view has no version {current}")
                metadata["current-version-id"] = current
                metadata["version-log"].append({"timestamp-ms": _now_ms(), "version-id": current})
            case unknown:
                raise bad_request(f"unknown update {unknown!r}")


def _add_schema(metadata: Metadata, schema: Metadata) -> int:
    for known in metadata["schemas"]:
        if {**known, "schema-id": 0} == {**schema, "schema-id": 0}:
            return int(known["schema-id"])
    schema_id = 1 + max(int(known["schema-id"]) for known in metadata["schemas"])
    metadata["schemas"].append({**schema, "schema-id": schema_id})
    return schema_id


def _write(catalog: Embedded, identifier: Identifier, metadata: Metadata, *, expected: str | None) -> Reply:
    ViewMetadata.model_validate(metadata)
    content = json.dumps(metadata).encode()
    version = len(metadata["versions"])
    location = f"{metadata['location']}/metadata/{version:05d}-{uuid.uuid4()}.metadata.json"
    catalog.warehouse.write(location, content)
    try:
        catalog.pointers.move([Move(identifier, Kind.VIEW, expected, location)])
    except Exception:
        catalog.warehouse.discard(location)
        raise
    return Reply(content=table_json(location, content))


def _pointer(catalog: Embedded, identifier: Identifier) -> str:
    location = catalog.pointers.find(identifier, Kind.VIEW)
    if location is None:
        raise _lost(identifier)
    return location


def _lost(identifier: Identifier) -> NoSuchViewError:
    return NoSuchViewError(f"View does not exist: {dotted(identifier)}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
