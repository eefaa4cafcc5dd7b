"""Iceberg's error model: ``{"error": {"message", "type", "code"}}``."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from pydantic import ValidationError as BodyError
from pyiceberg import exceptions as iceberg
from sqlalchemy.exc import OperationalError

__all__ = [
    "RefusedError",
    "already_exists",
    "bad_request",
    "commit_failed",
    "error_body",
    "fault_of",
    "forbidden",
    "is_locked",
]

log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A refusal in the protocol's own terms.

    Args:
        status: HTTP status, also the error's ``code``.
        type: Name of the Java exception that a client raises for it.
        message: What happened, on which value.
    """

    def __init__(self, status: int, type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message


def bad_request(message: str) -> RefusedError:
    """400: the body, a name or an update is malformed."""
    return RefusedError(400, "BadRequestException", message)


def forbidden(message: str) -> RefusedError:
    """403: a location outside the warehouse."""
    return RefusedError(403, "ForbiddenException", message)


def commit_failed(message: str) -> RefusedError:
    """409: somebody else was first; clients read again and retry."""
    return RefusedError(409, "CommitFailedException", message)


def already_exists(message: str) -> RefusedError:
    """409: the name is taken."""
    return RefusedError(409, "AlreadyExistsException", message)


def error_body(status: int, type: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "code": status}}


def is_locked(exc: OperationalError) -> bool:
    """True when SQLite gave up waiting for another writer."""
    text = str(exc.orig).lower()
    return "locked" in text or "busy" in text


_KNOWN: tuple[tuple[type[Exception], int, str], ...] = (
    (iceberg.CommitFailedException, 409, "CommitFailedException"),
    (iceberg.TableAlreadyExistsError, 409, "AlreadyExistsException"),
    (iceberg.ViewAlreadyExistsError, 409, "AlreadyExistsException"),
    (iceberg.NamespaceAlreadyExistsError, 409, "AlreadyExistsException"),
    (iceberg.NamespaceNotEmptyError, 409, "NamespaceNotEmptyException"),
    (iceberg.NoSuchNamespaceError, 404, "NoSuchNamespaceException"),
    (iceberg.NoSuchTableError, 404, "NoSuchTableException"),
    (iceberg.NoSuchViewError, 404, "NoSuchViewException"),
)


def fault_of(exc: Exception, *, writes: bool) -> RefusedError:
    """Turn whatever was raised into a fault; an unexpected one is logged under an id and shows no internal text.

    Args:
        writes: True for requests that change the catalog. A locked database is then 409, which Java retries:
            500 or 503 would mean that nobody knows whether the commit happened.
    """
    if isinstance(exc, RefusedError):
        return exc
    if isinstance(exc, BodyError):
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()[:3])
        return bad_request(f"the body is malformed: {places}")
    if isinstance(exc, OperationalError) and is_locked(exc):
        message = "the catalog's database is locked by another writer; try again"
        return commit_failed(message) if writes else RefusedError(503, "ServiceUnavailableException", message)
    for known, status, type_ in _KNOWN:
        if isinstance(exc, known):
            return RefusedError(status, type_, str(exc))
    detail_id = uuid.uuid4().hex[:12]
    log.error("Iceberg catalog request failed, id %s", detail_id, exc_info=exc)
    return RefusedError(500, "InternalServerError", f"the catalog failed; the service's log has more under {detail_id}")
