"""What a kernel leaves for the one that takes its place after a restart: which session its cells go to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Memory", "Remembered"]


class Remembered(NamedTuple):
    """The session of a kernel.

    Attributes:
        place: Names the service.
        session: Its id.
        own: Whether it ends with the kernel.
    """

    place: str
    session: int
    own: bool


class Memory:
    """A file beside the kernel's connection file, which stays the same when a kernel is restarted.

    Args:
        connection_file: The kernel's; empty remembers nothing.
    """

    def __init__(self, connection_file: str) -> None:
        self._path = Path(connection_file).with_suffix(".nbplat") if connection_file else None
        self._written: Remembered | None = None

    def read(self) -> Remembered | None:
        """What an earlier kernel of this connection has left; None when there is nothing that can be read."""
        if self._path is None:
            return None
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return Remembered(str(found["place"]), int(found["session"]), bool(found["own"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, now: Remembered | None) -> None:
        """Leave it, for the user's eyes alone; None leaves nothing."""
        if self._path is None or now == self._written:
            return
        self._written = now
        if now is None:
            self._path.unlink(missing_ok=True)
            return
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(now._asdict(), file)
        fresh.replace(self._path)

    def forget(self) -> None:
        """Take the file away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
