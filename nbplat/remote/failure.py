"""An error as it leaves this side: a record that the other side raises as its own class."""

from __future__ import annotations

import errno
import sys
import traceback
import uuid
from collections.abc import Mapping
from typing import Any

__all__ = ["KernelError", "failed", "record_of"]


class KernelError(Exception):
    """An error a person can act on.

    Args:
        code: Dotted and stable, e.g. ``body.missing_keys``.
        message: What happened and on which value.
        fix: What to do next.
        where: The file it is about; empty when there is none.
        kind: Class on the other side: ``DataError``, ``SetupError``, ``RequestError``, ``InternalError``.
    """

    def __init__(self, code: str, message: str, *, fix: str, where: str = "", kind: str = "DataError") -> None:
        super().__init__(code, message, fix, where, kind)
        self.code = code
        self.message = message
        self.fix = fix
        self.where = where
        self.kind = kind

    def record(self) -> dict[str, Any]:
        """The JSON form that the other side reads."""
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.message,
            "fix": self.fix,
            "where": self.where,
            "detail_id": None,
        }

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.code}: {self.message}{place}. Fix: {self.fix}"

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> KernelError:
        """Read what `record` wrote."""
        return _rebuild(record)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.record(),))


def _rebuild(record: dict[str, Any]) -> KernelError:
    return KernelError(record["code"], record["message"], fix=record["fix"], where=record["where"], kind=record["kind"])


def record_of(exc: BaseException, *, quiet: bool = False) -> dict[str, Any]:
    """The record of any exception: our own as they are, a full disk or memory as the machine's, the rest as our bug.

    The text of a bug may hold data or secrets and does not travel: the traceback goes to standard error under an
    id, unless `quiet`.
    """
    if isinstance(exc, KernelError):
        return exc.record()
    if isinstance(exc, MemoryError):
        fix = "lower limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES) or free memory, then run it again"
        return KernelError("memory.full", "the process ran out of memory", fix=fix, kind="SetupError").record()
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free space on that disk, then run it again: what is finished is kept"
        where = str(exc.filename or "")
        return KernelError("disk.full", "the disk is full", fix=fix, where=where, kind="SetupError").record()
    detail_id = uuid.uuid4().hex[:12]
    if not quiet:
        trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
        sys.stderr.write(f"log id {detail_id}\n{trace}")
    bug = KernelError(
        "internal.bug",
        f"nbplat failed with {type(exc).__name__}",
        fix=f"read the log entry {detail_id} and report it",
        kind="InternalError",
    )
    return {**bug.record(), "detail_id": detail_id}


def failed(unit: Mapping[str, Any], exc: BaseException) -> dict[str, Any]:
    """The result of a unit that failed.

    Args:
        unit: A `task.FileTask`; an error without a place gets the file's path.
    """
    record = record_of(exc)
    return {"unit": unit["unit"], "fence": unit["fence"], "error": {**record, "where": record["where"] or unit["path"]}}
