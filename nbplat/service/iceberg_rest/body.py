"""Reading requests: JSON fields, namespaces and names, each refused with its place when malformed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.service.iceberg_rest.faults import bad_request

__all__ = ["SEPARATOR", "Call", "Reply", "check_name", "check_namespace", "identifier_of", "string_map"]

# The protocol joins the levels of a namespace with the unit separator in paths and queries.
SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read in full.

    Attributes:
        path: Path parameters, decoded.
        query: Query parameters; the last of equal names.
        raw: Body as sent, empty when there is none.
        key: Value of ``Idempotency-Key``; empty when absent.
        etag: Value of ``If-None-Match``; empty when absent.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes = b""
    etag: str = ""
    key: str = ""

    def json(self) -> dict[str, Any]:
        """The body as an object; raises 400 for anything else."""
        try:
            body = json.loads(self.raw)
        except ValueError:
            raise bad_request("the body is not JSON") from None
        if not isinstance(body, dict):
            raise bad_request("the body must be a JSON object")
        return body

    @property
    def namespace(self) -> tuple[str, ...]:
        """The ``{namespace}`` of the path."""
        return check_namespace(self.path["namespace"].split(SEPARATOR))

    def identifier(self, key: str) -> tuple[str, ...]:
        """Namespace and the name that the path holds under `key`."""
        return (*self.namespace, check_name(self.path[key]))


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send: a dict is written as JSON, bytes are JSON already, None is an empty body."""

    status: int = 200
    content: dict[str, Any] | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def check_name(name: Any) -> str:
    """Return a table's, view's or namespace level's name, or raise 400.

    Names become folders under the warehouse and dotted keys in the catalog's tables, so neither
    separators nor dots can be part of one.
    """
    if not isinstance(name, str) or not name.strip() or any(c in "./\\" or ord(c) < 32 for c in name):
        raise bad_request(f"{name!r} cannot be a name: use no dot, slash or control character")
    return name


def check_namespace(levels: Any) -> tuple[str, ...]:
    """Return a namespace's levels, or raise 400 when it is empty or no list of names."""
    if not isinstance(levels, list) or not levels:
        raise bad_request("a namespace is a non-empty list of names")
    return tuple(check_name(level) for level in levels)


def identifier_of(value: Any, place: str) -> tuple[str, ...]:
    """Read ``{"namespace": […], "name": …}``."""
    if not isinstance(value, dict):
        raise bad_request(f"{place} must hold a namespace and a name")
    return (*check_namespace(value.get("namespace")), check_name(value.get("name")))


def string_map(value: Any, place: str) -> dict[str, str]:
    """Read a map of strings; absent is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise bad_request(f"{place} must map strings to strings")
    return dict(value)
