"""A lock that a dead process cannot keep, with a note of who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

__all__ = ["FileLock", "holder_of", "process_of"]


class FileLock:
    """`flock` on a file of the state folder; the kernel lets go of it when the process dies, however it dies.

    Args:
        path: The file; it is made (0600) and never removed, since a removed file could be locked twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def take(self, note: Mapping[str, Any] | None = None, *, wait_s: float = 0.5) -> bool:
        """Take it, or return False when another process still holds it after `wait_s` (a probe holds it for a moment).

        Args:
            note: What `holder_of` tells others; the process is added.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(fd)
                    return False
                time.sleep(0.01)
        self._fd = fd
        os.ftruncate(fd, 0)
        import psutil

        me = {"pid": os.getpid(), "born": psutil.Process().create_time()}
        os.pwrite(fd, json.dumps({**(note or {}), **me}).encode(), 0)
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def holder_of(path: Path) -> dict[str, Any] | None:
    """The note of who holds the lock; empty while it is being written, None when nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two probes do not take each other for a holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(ValueError):
            return dict(json.loads(os.pread(fd, 65536, 0)))
        return {}
    else:
        return None
    finally:
        os.close(fd)


def process_of(note: Mapping[str, Any]) -> psutil.Process | None:
    """The process that wrote the note; None when it is gone, also when its id was given to another."""
    import psutil

    try:
        process = psutil.Process(int(note["pid"]))
        return process if abs(process.create_time() - float(note["born"])) < 1.0 else None
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return None
