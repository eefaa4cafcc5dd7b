"""The error tree, divided by whose act it was.

    NbplatError
    ├── RequestError      the request is wrong: a name, an option, a body      exit 2   HTTP 400
    │   ├── NotFound      it names something that does not exist               exit 2   HTTP 404
    │   ├── Forbidden     it is another's to do                                exit 2   HTTP 403
    │   └── Conflict      it clashes with something that exists or runs        exit 2   HTTP 409
    ├── DataError         the data breaks a rule the request relies on         exit 4   HTTP 422
    ├── SetupError        this machine or folder is not fit: disk, Java, port  exit 3   HTTP 424
    ├── RemoteError       another system failed: catalog, cluster, service     exit 5   HTTP 502
    └── InternalError     our bug; the text stays in the log under an id       exit 70  HTTP 500

Every error says what happened, on which value, and what to do next. It crosses processes as a
record (`NbplatError.record`) and is raised again on the other side as the same class.
"""

from __future__ import annotations

import difflib
import errno
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

__all__ = [
    "Conflict",
    "DataError",
    "Forbidden",
    "InternalError",
    "NbplatError",
    "NotFound",
    "RemoteError",
    "RequestError",
    "SetupError",
    "did_you_mean",
    "from_record",
    "unexpected",
]


class NbplatError(Exception):
    """An error a person can act on.

    Args:
        code: Dotted, stable and greppable, e.g. ``table.unknown``.

        message: What happened and on which value; one sentence without a trailing period.

        fix: What to do next: the command, option or edit that mends it.

        where: The place it is about (a table, a file, ``line 3, column 5``); empty when the
            message already says it.

        detail_id: The id under which a log holds more; None when there is no more to read.
    """

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, *, fix: str, where: str = "", detail_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.where = where
        self.detail_id = detail_id

    def record(self) -> dict[str, Any]:
        """The JSON form, the same in HTTP replies, job records and cell output."""
        return {
            "kind": type(self).__name__,
            "code": self.code,
            "message": self.message,
            "fix": self.fix,
            "where": self.where,
            "detail_id": self.detail_id,
        }

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        detail = f" [log id {self.detail_id}]" if self.detail_id else ""
        return f"{self.code}: {self.message}{place}. Fix: {self.fix}{detail}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_record, (self.record(),))


class RequestError(NbplatError):
    """The request is wrong; nothing was done."""

    kind = "request"
    exit_code = 2
    http_status = 400


class NotFound(RequestError):
    """The request names something that does not exist."""

    http_status = 404


class Forbidden(RequestError):
    """The request is right, and another's to make."""

    http_status = 403


class Conflict(RequestError):
    """The request clashes with something that exists, runs or has moved meanwhile."""

    http_status = 409


class DataError(NbplatError):
    """The data breaks a rule that the request relies on."""

    kind = "data"
    exit_code = 4
    http_status = 422


class SetupError(NbplatError):
    """This machine, folder or interpreter is not fit for the request."""

    kind = "environment"
    exit_code = 3
    http_status = 424


class RemoteError(NbplatError):
    """Another system failed or cannot be reached."""

    kind = "remote"
    exit_code = 5
    http_status = 502


class InternalError(NbplatError):
    """A bug of nbplat; the message carries no internal text, the log does."""


_CLASSES = {
    cls.__name__: cls
    for cls in (RequestError, NotFound, Forbidden, Conflict, DataError, SetupError, RemoteError, InternalError)
}


def from_record(record: Mapping[str, Any]) -> NbplatError:
    """Build the error that `NbplatError.record` describes; an unknown kind becomes InternalError."""
    cls = _CLASSES.get(str(record.get("kind")), InternalError)
    return cls(
        str(record.get("code", "internal.unknown")),
        str(record.get("message", "an error without a message")),
        fix=str(record.get("fix", "see the log")),
        where=str(record.get("where", "")),
        detail_id=record.get("detail_id"),
    )


def unexpected(exc: BaseException) -> NbplatError:
    """Turn any exception into ours: our own pass through, a full disk or memory is the machine's, the rest our bug.

    The caller writes the traceback to its log under ``detail_id``; the text of `exc` may hold
    data or secrets and therefore does not travel.
    """
    if isinstance(exc, NbplatError):
        return exc
    if isinstance(exc, MemoryError):
        return SetupError(
            "memory.full",
            "the process ran out of memory",
            fix="lower limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES) or free memory, then run it again",
        )
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return SetupError(
            "disk.full",
            "the disk is full",
            fix="free space on that disk, then run it again: what is finished is kept",
            where=str(exc.filename or ""),
        )
    detail_id = uuid.uuid4().hex[:12]
    return InternalError(
        "internal.bug",
        f"nbplat failed with {type(exc).__name__}",
        fix=f"read the log entry {detail_id} and report it",
        detail_id=detail_id,
    )


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Name the nearest known names, or list the first few; empty when nothing is known.

    Returns:
        A clause to end a fix with, e.g. ``did you mean retail.train?``.
    """
    names = sorted(set(known))
    if not names:
        return ""
    near = difflib.get_close_matches(name, names, n=len(names), cutoff=0.6)
    if near:
        # Equally near are --key and --yes to --kye; letters that changed places are the likelier slip.
        near.sort(key=lambda each: -_likeness(name, each))
        return f"did you mean {' or '.join(near[:limit])}?"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"known: {shown}"


def _likeness(name: str, known: str) -> float:
    """From 0 to 2: the share of letters in common order, and a little for the same letters."""
    return difflib.SequenceMatcher(None, known, name).ratio() + 0.1 * (sorted(known) == sorted(name))
