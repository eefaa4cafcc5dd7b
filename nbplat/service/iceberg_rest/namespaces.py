"""Namespaces: list, create, describe, drop, properties."""

from __future__ import annotations

from pyiceberg.exceptions import NamespaceAlreadyExistsError, NamespaceNotEmptyError
from sqlalchemy.exc import IntegrityError

from nbplat.service.iceberg_rest.body import SEPARATOR, Call, Reply, check_namespace, string_map
from nbplat.service.iceberg_rest.catalog import Embedded
from nbplat.service.iceberg_rest.faults import RefusedError, bad_request
from nbplat.service.iceberg_rest.pointers import Identifier, Kind, dotted

__all__ = ["create", "describe", "drop", "exists", "list_all", "set_properties"]

# The SQL catalog keeps a namespace as its property rows: without one it would vanish.
_MARKER = "exists"


def list_all(catalog: Embedded, call: Call) -> Reply:
    """Namespaces one level below `parent`, or at the top."""
    parent: Identifier = ()
    if call.query.get("parent"):
        parent = check_namespace(call.query["parent"].split(SEPARATOR))
        catalog.need_namespace(parent)
    return Reply(content={"namespaces": [list(ns) for ns in sorted(catalog.sql.list_namespaces(parent))]})


def create(catalog: Embedded, call: Call) -> Reply:
    body = call.json()
    namespace = check_namespace(body.get("namespace"))
    properties = string_map(body.get("properties"), "properties")
    if "location" in properties:
        catalog.warehouse.check(properties["location"], "the location")
    try:
        catalog.sql.create_namespace(namespace, {**properties, _MARKER: "true"})
    except IntegrityError:
        raise NamespaceAlreadyExistsError(f"Namespace already exists: {dotted(namespace)}") from None
    return Reply(content={"namespace": list(namespace), "properties": properties})


def describe(catalog: Embedded, call: Call) -> Reply:
    catalog.need_namespace(call.namespace)
    properties = dict(catalog.sql.load_namespace_properties(call.namespace))
    properties.pop(_MARKER, None)
    return Reply(content={"namespace": list(call.namespace), "properties": properties})


def exists(catalog: Embedded, call: Call) -> Reply:
    catalog.need_namespace(call.namespace)
    return Reply(204)


def drop(catalog: Embedded, call: Call) -> Reply:
    """Drop an empty namespace; views and inner namespaces count as content."""
    namespace = call.namespace
    catalog.need_namespace(namespace)
    if catalog.sql.list_namespaces(namespace) or catalog.pointers.names(namespace, Kind.VIEW):
        raise NamespaceNotEmptyError(f"Namespace is not empty: {dotted(namespace)}")
    catalog.sql.drop_namespace(namespace)
    return Reply(204)


def set_properties(catalog: Embedded, call: Call) -> Reply:
    body = call.json()
    removals = body.get("removals") or []
    updates = string_map(body.get("updates"), "updates")
    if not isinstance(removals, list) or not all(isinstance(key, str) for key in removals):
        raise bad_request("removals must be a list of strings")
    if both := sorted(set(removals) & set(updates)):
        raise RefusedError(
            422, "UnprocessableEntityException", f"these keys are both set and removed: {', '.join(both)}"
        )
    if "location" in updates:
        catalog.warehouse.check(updates["location"], "the location")
    catalog.need_namespace(call.namespace)
    done = catalog.sql.update_namespace_properties(
        call.namespace, set(removals) - {_MARKER}, {**updates, _MARKER: "true"}
    )
    return Reply(
        content={
            "updated": sorted(set(done.updated or []) - {_MARKER}),
            "removed": sorted(done.removed or []),
            "missing": sorted(done.missing or []),
        }
    )
