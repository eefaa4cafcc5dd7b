from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EnvironmentRef"]


@dataclass(frozen=True, slots=True)
class EnvironmentRef:
    """One built environment: what sessions, backfills and training joins are given to run in.

    Attributes:
        name: As people call it.
        key: 64 hex digits that name its content; equal keys hold equal environments.
        platform: Conda platform, ``linux-64``.
        prefix: Folder of it on this machine; empty when it is only shipped.
        lock_digest: Digest of the lock that it was built from.
        python: Full version of its Python.
    """

    name: str
    key: str
    platform: str
    prefix: str
    lock_digest: str
    python: str

    @property
    def interpreter(self) -> str:
        """Path of its Python on this machine; empty when it has no prefix here."""
        return f"{self.prefix}/bin/python" if self.prefix else ""

    def record(self) -> dict[str, Any]:
        return asdict(self)
