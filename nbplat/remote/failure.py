"""An error as it leaves this side: a record that the other side raises as its own class."""

from __future__ import annotations

import errno
import re
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["KernelError", "attempt", "failed", "of_store", "record_of"]

# How Arrow's client words what a store answered.
_STORE = re.compile(r"AWS Error ([A-Z_ ]+?) ?(?:\(|during)")
_DENIED = frozenset(
    ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN", "INVALID_CLIENT_TOKEN_ID")
)


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
    if isinstance(exc, OSError) and (refused := of_store(exc)) is not None:
        return refused.record()
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


def of_store(exc: OSError) -> KernelError | None:
    """What an object store answered, from the text that Arrow's client makes of it; None for other errors."""
    found = _STORE.search(str(exc))
    if found is None:
        return None
    code = found[1].strip()
    if code in _DENIED:
        return KernelError(
            "storage.denied",
            f"the store refuses the credentials ({code})",
            fix="check the catalog's s3.* properties, or AWS_PROFILE and the AWS_* variables of the workers",
            kind="SetupError",
        )
    return KernelError(
        "storage.failed",
        f"the store answers {code}",
        fix="see whether the store is up and can be reached from the workers, then run it again",
        kind="RemoteError",
    )


def failed(unit: Mapping[str, Any], exc: BaseException) -> dict[str, Any]:
    """The result of a unit that failed.

    Args:
        unit: A task of one unit, e.g. a `task.FileTask`; an error without a place gets its ``path``, if it has one.
    """
    record = record_of(exc)
    where = record["where"] or unit.get("path", "")
    return {"unit": unit["unit"], "fence": unit["fence"], "error": {**record, "where": where}}


def attempt(work: Callable[[Any], Any], failed: Callable[[Any, Exception], Any], task: Any) -> Any:
    """Do a task; what it raises becomes its result. Nothing is raised but what ends a process."""
    try:
        return work(task)
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(task, exc)
