"""When each session was last of use to somebody, and when nobody could have used any."""

from __future__ import annotations

from nbplat.clock import Clock
from nbplat.session.ports import SessionStore
from nbplat.session.records import Session

__all__ = ["Use"]

_TOUCH_S = 5.0
# The machine's clock may be set by a little without any sleep.
_SLEEP_MS = 30_000


class Use:
    """Safe between threads.

    Args:
        store: Keeps when a session was asked for.
        clock: The store's.
    """

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # Before that nobody could ask for a session.
        self._since_ms = clock.now_ms()
        self._ahead_ms = self._ahead()
        self._touched: dict[int, float] = {}
        # When a driver last told something, by the store's clock and not its own.
        self._worked_ms: dict[int, int] = {}

    def touch(self, session_id: int) -> None:
        """Note that somebody asked for it; written down every few seconds only."""
        now = self._clock.monotonic_s()
        if now - self._touched.get(session_id, -_TOUCH_S) >= _TOUCH_S:
            self._touched[session_id] = now
            self._store.touch(session_id)

    def worked(self, session_id: int) -> None:
        """Note that its driver did something."""
        self._worked_ms[session_id] = self._clock.now_ms()

    def forget(self, session_id: int) -> None:
        self._touched.pop(session_id, None)
        self._worked_ms.pop(session_id, None)

    def notice_sleep(self) -> None:
        """To be called now and then: the time that the machine slept through is nobody's, as that without a service."""
        ahead_ms, before_ms = self._ahead(), self._ahead_ms
        self._ahead_ms = ahead_ms
        if ahead_ms - before_ms > _SLEEP_MS:
            self._since_ms = self._clock.now_ms()

    def unused_ms(self, session: Session, now_ms: int) -> int:
        """How long it has been of no use to anybody who could have used it."""
        return now_ms - max(session.seen_ms, self._since_ms, self._worked_ms.get(session.id, 0))

    def _ahead(self) -> int:
        """How far the time of day is ahead of the time that this machine was awake."""
        return self._clock.now_ms() - int(self._clock.monotonic_s() * 1000)
