from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that the test moves.

    Args:
        now_ms: Where it starts, milliseconds since the epoch.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._slept_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return (self._now_ms - self._slept_ms) / 1000

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps so long: the time of day goes on, the time that counts from its start does not."""
        self._slept_ms += int(seconds * 1000)
        self._now_ms += int(seconds * 1000)
