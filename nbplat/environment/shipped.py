from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Shipped"]


@dataclass(frozen=True, slots=True)
class Shipped:
    """An archive at a place, verified there.

    Attributes:
        uri: Of the archive: ``<place>/<sha256>.<format>``.
        sha256: 64 hex digits of its bytes.
        size: Bytes.
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
        key: Environment that it holds; empty where the manifest does not say.
        name: As people call it.
        launcher: URI of the node-cache launcher that lies beside it; empty when there is none.
        sent: Bytes that this push wrote; 0 when all was there.
    """

    uri: str
    sha256: str
    size: int
    format: str
    key: str = ""
    name: str = ""
    launcher: str = ""
    sent: int = 0

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)
