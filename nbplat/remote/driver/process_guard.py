"""Ends the processes of a session that starts too many, before the machine runs out of them. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ProcessGuard", "processes_of_session"]

_EVERY_S = 0.25
_ROUNDS = 200


class ProcessGuard:
    """Watches the count while a statement runs.

    The machine's own count, one small file, is asked four times a second; every process is looked at only when that
    has grown by a good part of the limit.

    Args:
        spared: Processes that are never ended, besides this one and the leader of its session.
        over: Called with how many there were, before they are ended.
    """

    def __init__(self, spared: Callable[[], set[int]], over: Callable[[int, int], Any]) -> None:
        self._spared = spared
        self._over = over
        self._limit = 0
        self._changed = threading.Condition()
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="processes", daemon=True).start()

    def begin(self, limit: int) -> None:
        """Watch from now on; 0 sets no limit."""
        with self._changed:
            self._limit = limit
            self._changed.notify_all()

    def end(self) -> None:
        """Watch no more."""
        self.begin(0)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._limit > 0)
            before = _tasks()
            looked = False
            while (limit := self._limit) > 0:
                grown = _tasks() - before
                # The first look finds what an earlier statement left.
                if not looked or grown > limit // 4:
                    looked, before = True, _tasks()
                    self._look(limit)
                with self._changed:
                    self._changed.wait_for(lambda: self._limit != limit, _EVERY_S)

    def _look(self, limit: int) -> None:
        found = processes_of_session()
        if len(found) <= limit:
            return
        self._over(len(found), limit)
        spared = self._spared() | {self._pid, os.getsid(0)}
        # Again and again: a bomb goes on while it is put out. First stopped, so that none starts another.
        for sent in (signal.SIGSTOP, signal.SIGKILL) * _ROUNDS:
            left = processes_of_session() - spared
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, sent)


def processes_of_session() -> set[int]:
    """The living processes of this process's session."""
    own = os.getsid(0)
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            # Behind the name, which may hold anything: state, parent, group, session.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == own and fields[0] not in ("Z", "X"):
                found.add(int(entry.name))
    return found


def _tasks() -> int:
    """How many threads the machine has; 0 where nobody counts them."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, IndexError, ValueError):
        return 0
