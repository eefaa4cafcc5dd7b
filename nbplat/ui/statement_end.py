"""How a statement ends that has no result: its cell failed, or it was cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.errors import RequestError

__all__ = ["Cancelled", "StatementFailed"]

_RED, _BOLD, _OFF = "\x1b[31m", "\x1b[1m", "\x1b[0m"
_LINES = 40
_CHARS = 4000


class StatementFailed(RequestError):
    """A cell that ran in a session failed there.

    Args:
        title: Which: session and number.
        output: Of the statement.

    Attributes:
        ename: The exception's class there, e.g. ``AnalysisException``.
        evalue: Its text.
        error_class: Spark's name of the condition, e.g. ``TABLE_OR_VIEW_NOT_FOUND``; empty for other errors.
        traceback: From the cell's own first line, lines without their ends.
    """

    def __init__(self, title: str, output: Mapping[str, Any]) -> None:
        self.ename = str(output["ename"])
        self.evalue = str(output["evalue"])
        self.error_class = str(output.get("error_class") or "")
        self.traceback: Sequence[str] = "".join(output["traceback"]).splitlines()
        said = f"{self.ename} [{self.error_class}]" if self.error_class else self.ename
        super().__init__(
            "session.cell",
            f"{said}: {_first(self.evalue, self.error_class)}",
            fix="mend the cell and run it again",
            where=title,
        )
        self._said = f"{said} in {title}"

    @property
    def told(self) -> list[str]:
        """The block that a cell shows: the condition, then the cell's own traceback."""
        lines = _cut(list(self.traceback) or [self.evalue])
        return [f"{_RED}{_BOLD}{self._said}{_OFF}", *lines]

    def __str__(self) -> str:
        return self.message


class Cancelled(KeyboardInterrupt):
    """A statement was cancelled, and its code has ended."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}{_BOLD}{self}{_OFF}"]


def _first(evalue: str, error_class: str) -> str:
    line = evalue.strip().partition("\n")[0]
    # Spark says its condition again in front of its text.
    return line.removeprefix(f"[{error_class}]").strip() if error_class else line


def _cut(lines: list[str]) -> list[str]:
    if len(lines) > _LINES:
        left = len(lines) - _LINES
        lines = [*lines[: _LINES // 2], f"… {left} more lines …", *lines[-_LINES // 2 :]]
    return [line if len(line) <= _CHARS else f"{line[:_CHARS]}… ({len(line):,} characters)" for line in lines]
