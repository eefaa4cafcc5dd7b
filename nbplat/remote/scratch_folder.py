"""A scratch folder that its process holds by a lock; what dead processes have left beside it is removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["ScratchFolder"]

# In the folder that all programs share there is no lock to take between making and holding: what is younger stays.
_MADE_S = 600


class ScratchFolder:
    """A new folder, of mode 0700; `close`, or the end of a ``with`` block, removes it with all it holds.

    The kernel lets go of the lock when the process dies, however it dies: the next that makes a folder there takes
    away those of this user that nobody holds.

    Args:
        parent: Where it is made, and others with it; made when it is not there. None: the system's folder, where
            those that are younger than ten minutes are left alone as well.
        prefix: Of its name, and of the names of those that may be removed.
    """

    def __init__(self, parent: Path | None, prefix: str) -> None:
        if parent is None:
            _sweep(Path(tempfile.gettempdir()), prefix, before_s=time.time() - _MADE_S)
            self._made = tempfile.TemporaryDirectory(prefix=prefix)
            self._lock = _hold(self.path)
            return
        parent.mkdir(parents=True, exist_ok=True)
        # One at a time, so that nobody meets a folder that is made and not yet held.
        with _alone(parent):
            _sweep(parent, prefix)
            self._made = tempfile.TemporaryDirectory(prefix=prefix, dir=str(parent))
            self._lock = _hold(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._made.name)

    def close(self) -> None:
        """Remove it; nothing happens the second time."""
        with contextlib.suppress(OSError):
            self._made.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sweep(parent: Path, prefix: str, before_s: float | None = None) -> None:
    for path in parent.glob(f"{prefix}*"):
        if not _is_ours(path, before_s):
            continue
        lock = _hold(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _is_ours(path: Path, before_s: float | None) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False  # its owner was quicker
    return found.st_uid == os.getuid() and (before_s is None or found.st_mtime < before_s)


def _hold(folder: Path) -> int | None:
    """Lock a folder; None when another process holds it, or when its file system knows no locks."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
