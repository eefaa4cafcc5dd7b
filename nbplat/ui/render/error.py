"""One short block for an error: what happened, and what to do."""

from __future__ import annotations

from nbplat.errors import NbplatError
from nbplat.ui.spoken import spoken

__all__ = ["error_lines", "error_text"]

_RED, _BOLD, _OFF = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def error_text(error: NbplatError) -> str:
    """Two lines: code, message and place; then the fix."""
    return "\n".join(error_lines(error))


def error_lines(error: NbplatError, *, colour: bool = False) -> list[str]:
    """The block's lines.

    Args:
        colour: Red by ANSI codes, which terminals and notebooks' error outputs draw.
    """
    place = f" ({error.where})" if error.where else ""
    more = f" [log id {error.detail_id}]" if error.detail_id else ""
    lines = [f"{error.code}: {error.message}{place}{more}"]
    if error.fix:
        lines.append(f"fix: {spoken(error.fix)}")
    # A remote cell's error is told as the cell told it.
    lines = list(getattr(error, "told", ())) or lines
    if not colour:
        return lines
    return [f"{_RED}{_BOLD}{lines[0]}{_OFF}", *(f"{_RED}{line}{_OFF}" for line in lines[1:])]
