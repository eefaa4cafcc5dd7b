"""What a statement prints: taken from Python's own streams, sent in pieces, limited in size."""

from __future__ import annotations

import codecs
import collections
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
    Of output over the limit three quarters of it are the beginning; the rest is its end, which is sent when the
    statement has ended, behind a line that says how much was left out between them.

    Args:
        send: Takes the name of the stream and a piece of text.
        limit: Characters kept and sent over both streams.
    """

    def __init__(self, send: Callable[[str, str], Any], limit: int) -> None:
        self._send = send
        self._tail = Tail(limit // 4)
        self._limit = limit - limit // 4
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._size = 0
        self._taken = 0
        self._timer: threading.Timer | None = None
        self._open = True

    def write(self, name: str, text: str) -> None:
        """Take what was printed; thread-safe, and never waits for a reader."""
        with self._lock:
            if not self._open:
                return
            room = self._limit - self._taken
            if len(text) > room:
                self._tail.add(name, text, room)
                text = text[:room]
            if not text:
                return
            self._taken += len(text)
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
        """Send what waits and the end of a long output; what threads of the statement print later is dropped."""
        with self._lock:
            self._flush()
            if self._tail.dropped:
                self._send("stdout", f"\n… {self._tail.dropped:,} characters were left out here …\n")
            for name, text in self._tail.pieces:
                self._send(name, text)
            if self._timer is not None:
                self._timer.cancel()
            self._open = False

    @property
    def dropped(self) -> int:
        """Characters that were left out."""
        return self._tail.dropped

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


class Tail:
    """The end of a text of any length.

    Args:
        limit: Characters kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.pieces: collections.deque[tuple[str, str]] = collections.deque()
        self.dropped = 0

    def add(self, name: str, text: str, start: int) -> None:
        """Take a text from its character `start` on."""
        added = len(text) - start
        kept = text[max(start, len(text) - self._limit) :] if self._limit else ""
        self.dropped += added - len(kept)
        if kept:
            self.pieces.append((name, kept))
            self._size += len(kept)
        while self._size > self._limit:
            stream, oldest = self.pieces.popleft()
            over = min(self._size - self._limit, len(oldest))
            self._size -= over
            self.dropped += over
            if over < len(oldest):
                self.pieces.appendleft((stream, oldest[over:]))


class Bytes(io.RawIOBase):
    """What ``sys.stdout.buffer`` is: bytes that are no text are shown as marks."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()


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
        self.buffer = Bytes(self)

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
