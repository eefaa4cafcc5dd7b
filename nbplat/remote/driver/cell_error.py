"""An exception of a cell as its reader wants it: from the cell's own first line, without our frames and Spark's."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any

__all__ = ["CellError", "error_class", "error_output"]

_HIDDEN = ("/pyspark/", "/py4j/", "pyspark.zip", "py4j-", "/nbplat/remote/driver/")
_EVALUE_CHARS = 20_000
_LINES = 400


class CellError(Exception):
    """An error that another interpreter has told of.

    Args:
        lines: The traceback, with their ends.
        condition: Spark's own name of it; empty for other errors.
    """

    def __init__(self, name: str, value: str, lines: list[str], condition: str = "") -> None:
        super().__init__(value)
        self.output = {"ename": name, "evalue": value, "traceback": lines, "error_class": condition}


def error_output(exc: BaseException) -> dict[str, Any]:
    """What a failed cell shows.

    Returns:
        ``ename``, ``evalue``, ``traceback`` (lines with their ends, the last one repeats name and value) and
        ``error_class``, Spark's own name of the condition (``TABLE_OR_VIEW_NOT_FOUND``); empty for other errors.
    """
    if isinstance(exc, CellError):
        return dict(exc.output)
    text = _message(exc)
    shown = traceback.TracebackException(type(exc), exc, _from_cell(exc.__traceback__), compact=True)
    for part in _chain(shown):
        part.stack = _without_spark(part.stack)
    lines = list(shown.format())
    if lines:
        last = traceback.format_exception_only(type(exc), exc)
        if not isinstance(exc, SyntaxError) and lines[-len(last) :] == last:
            lines[-len(last) :] = [f"{type(exc).__name__}: {text}\n" if text else f"{type(exc).__name__}\n"]
    if len(lines) > _LINES:
        lines[_LINES // 2 : -_LINES // 2] = [f"… {len(lines) - _LINES:,} lines …\n"]
    shown_lines = [_cut(line) for line in lines]
    return {"ename": type(exc).__name__, "evalue": text, "traceback": shown_lines, "error_class": error_class(exc)}


def error_class(exc: BaseException) -> str:
    """Spark's name of what went wrong; empty where there is none."""
    for method in ("getCondition", "getErrorClass"):
        ask = getattr(exc, method, None)
        if callable(ask):
            try:
                return str(ask() or "")
            except Exception:  # noqa: BLE001 - the JVM may be gone
                return ""
    return ""


def _message(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception as broken:  # noqa: BLE001 - shown as what it is
        return f"<its text raises {type(broken).__name__}>"
    # The JVM's frames say nothing about the cell.
    text = text.partition("\n\nJVM stacktrace:")[0].rstrip()
    return _cut(text).rstrip("\n")


def _cut(text: str) -> str:
    return text if len(text) <= _EVALUE_CHARS else f"{text[:_EVALUE_CHARS]}… ({len(text):,} characters)\n"


def _from_cell(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in a cell; all of it when no cell is in it."""
    found = trace
    while found is not None:
        if found.tb_frame.f_code.co_filename.startswith("<cell "):
            return found
        found = found.tb_next
    return None


def _chain(shown: traceback.TracebackException) -> list[traceback.TracebackException]:
    found: list[traceback.TracebackException] = []
    part: traceback.TracebackException | None = shown
    while part is not None and len(found) < 20:
        found.append(part)
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    return found


def _without_spark(stack: traceback.StackSummary) -> traceback.StackSummary:
    kept = [frame for frame in stack if not any(part in frame.filename for part in _HIDDEN)]
    return traceback.StackSummary.from_list(kept or list(stack))
