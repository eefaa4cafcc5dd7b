"""An error as it leaves this side: a record that the other side raises as its own class."""

from __future__ import annotations

from typing import Any

__all__ = ["KernelError"]


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

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.record(),))


def _rebuild(record: dict[str, Any]) -> KernelError:
    return KernelError(record["code"], record["message"], fix=record["fix"], where=record["where"], kind=record["kind"])
