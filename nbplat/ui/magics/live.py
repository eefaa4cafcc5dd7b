"""Progress that replaces itself, in a notebook's output and on a terminal's line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from nbplat.clock import Clock, SystemClock
from nbplat.ui.render.result import Result
from nbplat.ui.render.terminal import TerminalLine

__all__ = ["Live", "NotebookLive", "ShownResult", "live_output"]

LEAST_SECONDS = 0.5


class Live(Protocol):
    """Where progress is drawn while a handler works."""

    def show(self, result: Result) -> None:
        """Draw it, unless something was drawn a moment ago."""

    def write(self, name: str, content: Any) -> None:
        """Print what a remote cell printed or displayed; it stays."""

    def finish(self, result: Result) -> Result:
        """Draw the last state; returns what the magic returns."""


@contextmanager
def live_output(shell: Any) -> Iterator[Live]:
    """The right drawing for a shell: a display that is updated in kernels, one line of stderr in a terminal."""
    if getattr(shell, "kernel", None) is not None:
        notebook = NotebookLive(shell)
        try:
            yield notebook
        finally:
            notebook.close()
        return
    terminal = TerminalLive()
    try:
        yield terminal
    finally:
        terminal.line.clear()


class NotebookLive:
    """One output that is updated in place, at most every `LEAST_SECONDS`.

    Front ends fold the updates, so a saved notebook holds the last one; a reloaded page lives on the job's MIME part.
    """

    def __init__(self, shell: Any, clock: Clock | None = None) -> None:
        self._shell = shell
        self._clock = clock or SystemClock()
        self._handle: Any = None
        self._drawn_s = 0.0
        self._undrawn: Result | None = None

    def show(self, result: Result) -> None:
        now_s = self._clock.monotonic_s()
        if self._handle is None:
            self._handle = _display(result, display_id=True)
        elif now_s - self._drawn_s < LEAST_SECONDS:
            self._undrawn = result
            return
        else:
            self._handle.update(result.bundle(), raw=True)
        self._drawn_s, self._undrawn = now_s, None

    def write(self, name: str, content: Any) -> None:
        if name == "display":
            _display_bundle(content)
            return
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(content)
        stream.flush()

    def close(self) -> None:
        """Draw a last state that came too soon after the one before it."""
        last, self._undrawn = self._undrawn, None
        if self._handle is not None and last is not None:
            self._handle.update(last.bundle(), raw=True)

    def finish(self, result: Result) -> Result:
        if self._handle is None or result.beside:
            return result
        self._undrawn = None
        self._handle.update(result.bundle(), raw=True)
        values = {f.name: getattr(result, f.name) for f in fields(Result)}
        return ShownResult(**values, shell=self._shell, shown_at=self._shell.execution_count)


@dataclass(frozen=True)
class ShownResult(Result):
    """A result that its cell has drawn already: returned by that cell it draws nothing, later it does.

    Attributes:
        shown_at: Execution count of the cell that drew it.
    """

    shell: Any = field(default=None, repr=False, compare=False)
    shown_at: int = 0

    def _ipython_display_(self) -> None:
        if self.shell is not None and self.shell.execution_count == self.shown_at:
            return
        _display(self)


class TerminalLive:
    """Progress on one line of stderr; the result itself is displayed by the shell as usual."""

    def __init__(self, line: TerminalLine | None = None) -> None:
        self.line = line or TerminalLine(sys.stderr)

    def show(self, result: Result) -> None:
        self.line.show(result)

    def write(self, name: str, content: Any) -> None:
        if name == "display":
            self.line.clear()
            _display_bundle(content)
        else:
            self.line.write(name, content)

    def finish(self, result: Result) -> Result:
        return result


def _display(result: Result, **options: Any) -> Any:
    return _display_bundle(result.bundle(), **options)


def _display_bundle(bundle: Mapping[str, Any], **options: Any) -> Any:
    from IPython import display

    draw: Any = display.display  # IPython gives it no types
    return draw(dict(bundle), raw=True, **options)
