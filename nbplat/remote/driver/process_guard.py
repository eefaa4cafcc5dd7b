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

    The machine's own count, one small file, is asked four times a second, over the ends of statements; every process is
    looked at only when that has grown by a good part of the limit, and once in a statement that is not over at once.

    Args:
        spared: Processes that are never ended, besides this one and the leader of its session.
        over: Called with how many there were, before they are ended.
    """

    def __init__(self, spared: Callable[[], set[int]], over: Callable[[int, int], Any]) -> None:
        self._spared = spared
        self._over = over
        self._limit = 0
        self._turn = 0
        self._changed = threading.Condition()
        self._tidying = threading.Lock()
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="processes", daemon=True).start()

    def begin(self, limit: int) -> None:
        """Watch from now on; 0 sets no limit."""
        with self._changed:
            self._limit = limit
            self._turn += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Watch no more; returns when those that are being ended are gone."""
        self.begin(0)
        with self._tidying:
            pass

    def _run(self) -> None:
        before = _tasks()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._limit > 0)
                turn, limit = self._turn, self._limit
            rounds, looked = 0, False
            while turn == self._turn:
                now = _tasks()
                before = min(before, now)
                # One look finds what earlier statements left, little by little.
                if now - before > limit // 4 or (rounds and not looked):
                    looked, before = True, now
                    self._look(limit)
                rounds += 1
                with self._changed:
                    self._changed.wait_for(lambda turn=turn: turn != self._turn, _EVERY_S)  # type: ignore[misc]

    def _look(self, limit: int) -> None:
        found = processes_of_session()
        if len(found) <= limit:
            return
        with self._tidying:
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
