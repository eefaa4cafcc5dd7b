"""One builds, the others wait: a lock per name, held by the kernel and gone with its process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["hold", "holder", "try_hold"]


@contextmanager
def hold(path: Path, *, shared: bool = False, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a file, made on the way; waits for whoever has it.

    ``flock`` belongs to the open file: two threads of a process exclude each other too, and a killed process gives it
    back. The file may be removed by its holder: who gets the lock of a removed file tries again.

    Args:
        shared: Several may hold it at once, but not beside one that holds it alone.
        waiting: Called once with who holds it (``process 4711``), before the wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        handle = _open(path)
        try:
            if not _lock(handle, kind | fcntl.LOCK_NB):
                if waiting is not None:
                    waiting(holder(path))
                    waiting = None
                _lock(handle, kind)
            if _same(handle, path):
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        if not shared:
            _sign(handle)
        yield
    finally:
        _give_back(handle, shared=shared)


@contextmanager
def try_hold(path: Path) -> Iterator[bool]:
    """Hold the lock of a file if nobody has it now; gives whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open(path)
    try:
        held = _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB) and _same(handle, path)
        if held:
            _sign(handle)
        yield held
    finally:
        _give_back(handle, shared=not held)


def holder(path: Path) -> str:
    """Who holds it, for people; those who share it do not sign."""
    with contextlib.suppress(OSError, ValueError):
        return f"process {int(path.read_text().strip())}"
    return "another process"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def _same(handle: int, path: Path) -> bool:
    """False when the file was removed, or another put in its place, before we had the lock."""
    mine = os.fstat(handle)
    try:
        theirs = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)


def _give_back(handle: int, *, shared: bool) -> None:
    """Whoever waits for others later must not be told our name."""
    if not shared:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
    os.close(handle)


def _sign(handle: int) -> None:
    with contextlib.suppress(OSError):
        # Best effort: a full disk must not keep anybody from locking.
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
