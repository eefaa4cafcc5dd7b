"""Wakes those who wait for a session to change, on threads and in event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict

__all__ = ["Wakes"]


class Wakes:
    """Numbers the changes of each session, so that one between a look and a wait is not missed."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._count: defaultdict[int, int] = defaultdict(int)
        self._loops: defaultdict[int, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(set)

    def changed(self, session_id: int) -> None:
        """Wake everybody who waits for this session."""
        with self._lock:
            self._count[session_id] += 1
            self._lock.notify_all()
            for loop, event in self._loops.pop(session_id, ()):
                with contextlib.suppress(RuntimeError):  # a loop that has ended waits for nothing
                    loop.call_soon_threadsafe(event.set)

    def count(self, session_id: int) -> int:
        """How often it has changed; to be read before looking."""
        with self._lock:
            return self._count[session_id]

    def wait(self, session_id: int, seen: int, limit_s: float) -> None:
        """Return when it has changed more often than `seen`, or after `limit_s`."""
        with self._lock:
            self._lock.wait_for(lambda: self._count[session_id] > seen, limit_s)

    async def wait_async(self, session_id: int, seen: int, limit_s: float) -> None:
        """As `wait`, without a thread."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self._lock:
            if self._count[session_id] > seen:
                return
            self._loops[session_id].add(entry)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), limit_s)
        finally:
            with self._lock:
                self._loops[session_id].discard(entry)

    def forget(self, session_id: int) -> None:
        """Wake everybody a last time, and keep nothing of the session."""
        self.changed(session_id)
        with self._lock:
            self._count.pop(session_id, None)
