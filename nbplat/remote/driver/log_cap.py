"""Keeps the driver's log from filling the disk: what programs print past Python goes there without any limit."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

__all__ = ["cap_log", "cut_log"]

_MOST_BYTES = 64 << 20
_KEPT_BYTES = 4 << 20
_EVERY_S = 1.0


def cap_log(handle: int = 2) -> None:
    """Look after the file that a handle writes to, for as long as this process lives; nothing happens to a pipe."""
    if stat.S_ISREG(os.fstat(handle).st_mode):
        threading.Thread(target=_watch, args=(handle,), name="log", daemon=True).start()


def cut_log(handle: int, most: int = _MOST_BYTES, kept: int = _KEPT_BYTES) -> bool:
    """Cut a log that is longer than `most` bytes to its end; True when it was.

    Its writers append, and go on behind the cut.
    """
    size = os.fstat(handle).st_size
    if size <= most:
        return False
    with Path(f"/proc/self/fd/{handle}").readlink().open("rb") as log:
        log.seek(size - kept)
        end = log.read(kept)
    os.ftruncate(handle, 0)
    os.write(handle, b"(%d bytes of the log were cut here)\n" % (size - kept) + end)
    return True


def _watch(handle: int) -> None:
    while True:
        time.sleep(_EVERY_S)
        try:
            cut_log(handle)
        except OSError:
            return  # no /proc here, or the disk is full: the log stays as it is
