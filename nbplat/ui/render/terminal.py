from __future__ import annotations

import shutil
import sys
from typing import Any, TextIO

from nbplat.clock import Clock, SystemClock
from nbplat.ui.render.result import Result

__all__ = ["TerminalLine"]


class TerminalLine:
    """The first line of a changing result, drawn in place on a terminal and now and then in a log file.

    Args:
        stream: Where to; on a terminal the line is overwritten, elsewhere each changed text is a line of its own.
        clock: What the least time between two drawings is measured by: 0.2 s on a terminal, 10 s elsewhere.
    """

    def __init__(self, stream: TextIO, clock: Clock | None = None) -> None:
        self._stream = stream
        self._clock = clock or SystemClock()
        self._terminal = stream.isatty()
        self._least_s = 0.2 if self._terminal else 10.0
        self._drawn_s: float | None = None
        self._last = ""

    def show(self, result: Result) -> None:
        """Draw the result's first line, unless it is unchanged or something was drawn a moment ago."""
        lines = result.text.splitlines()
        text = lines[0] if lines else ""
        now_s = self._clock.monotonic_s()
        if text == self._last or (self._drawn_s is not None and now_s - self._drawn_s < self._least_s):
            return
        self._drawn_s, self._last = now_s, text
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:width]}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def write(self, name: str, content: Any) -> None:
        """Print text to ``stdout`` or ``stderr``, or the text of a ``display`` bundle, above the line."""
        self.clear()
        self._drawn_s = None
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(f"{content.get('text/plain', '')}\n" if name == "display" else content)
        stream.flush()

    def clear(self) -> None:
        """Leave an empty line behind on a terminal."""
        if self._terminal and self._last:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._last = ""
