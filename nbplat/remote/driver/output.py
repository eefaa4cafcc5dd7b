"""What a statement prints: taken from Python's own streams, sent in pieces, limited in size."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Capture", "Stream"]

_FLUSH_S = 0.05
_FLUSH_CHARS = 1 << 15


class Capture:
    """The output of one statement.

    A stream event is sent at once for the first words, then at most every 50 ms, or as soon as 32 Ki characters wait.

    Args:
        send: Takes the name of the stream and a piece of text.
        limit: Characters kept and sent over both streams; the rest is counted and dropped.
    """

    def __init__(self, send: Callable[[str, str], Any], limit: int) -> None:
        self._send = send
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._size = 0
        self._kept: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._taken = 0
        self._dropped = 0
        self._timer: threading.Timer | None = None
        self._open = True

    def write(self, name: str, text: str) -> None:
        """Take what was printed; thread-safe, and never waits for a reader."""
        with self._lock:
            if not self._open:
                return
            room = self._limit - self._taken
            if len(text) > room:
                self._dropped += len(text) - room
                text = text[:room]
            if not text:
                return
            self._taken += len(text)
            self._kept[name].append(text)
            self._waiting[name].append(text)
            self._size += len(text)
            if self._size >= _FLUSH_CHARS:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(_FLUSH_S, self._tick)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Send what waits; what threads of the statement print later is dropped."""
        with self._lock:
            self._flush()
            if self._timer is not None:
                self._timer.cancel()
            self._open = False

    def text(self, name: str) -> str:
        """All that was kept of ``stdout`` or ``stderr``."""
        with self._lock:
            return "".join(self._kept[name])

    @property
    def dropped(self) -> int:
        """Characters over the limit."""
        return self._dropped

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        for name, pieces in self._waiting.items():
            if pieces:
                self._send(name, "".join(pieces))
                pieces.clear()
        self._size = 0


class Stream(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``: writes to the running statement, else to the driver's log.

    Args:
        name: ``stdout`` or ``stderr``.
        real: The stream of the process, whose file is the driver's log.
    """

    def __init__(self, name: str, real: Any) -> None:
        super().__init__()
        self._name = name
        self._real = real
        self.capture: Capture | None = None

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        """Of the driver's log: what other programs are given to write to."""
        return int(self._real.fileno())

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        target = self.capture
        if target is None:
            self._real.write(text)
        else:
            target.write(self._name, text)
        return len(text)

    def flush(self) -> None:
        target = self.capture
        if target is None:
            self._real.flush()
        else:
            target.flush()
