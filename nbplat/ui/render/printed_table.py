"""Tables that a session prints as text (`df.show()`), drawn as tables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from nbplat.ui.render.table import table_html

__all__ = ["PrintedTables", "read_table"]


class PrintedTables:
    """Takes what a cell prints, and hands it on with each whole table as a display.

    Args:
        write: Takes text and displays, as `nbplat.ui.call.Call.write` does.
    """

    def __init__(self, write: Callable[[str, Any], None]) -> None:
        self._write = write
        self._line = ""
        self._block: list[str] = []

    def write(self, name: str, content: Any) -> None:
        """Take a piece of output."""
        if name != "stdout":
            self._write(name, content)
            return
        *lines, self._line = (self._line + content).split("\n")
        for line in lines:
            self._take(line)

    def close(self) -> None:
        """Hand on what is left."""
        if self._line:
            self._take(self._line, end="")
            self._line = ""
        self._flush()

    def _take(self, line: str, end: str = "\n") -> None:
        edge = line.startswith("+-") and line.rstrip().endswith("+")
        if edge or (self._block and line.startswith("|")):
            self._block.append(line)
            if edge and sum(each.startswith("+-") for each in self._block) == 3:
                self._flush()
            return
        self._flush()
        self._write("stdout", line + end)

    def _flush(self) -> None:
        block, self._block = self._block, []
        if not block:
            return
        text = "\n".join(block)
        table = read_table(block)
        if table is None:
            self._write("stdout", f"{text}\n")
            return
        self._write("display", {"text/plain": text, "text/html": table_html(*table)})


def read_table(lines: list[str]) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of a table between three edges; None when it is none.

    Cells are cut where the edges have ``+``, so that a ``|`` inside a value does no harm.
    """
    edges = [n for n, line in enumerate(lines) if line.startswith("+-")]
    if edges != [0, 2, len(lines) - 1] or len({lines[n] for n in edges}) != 1:
        return None
    marks = [n for n, char in enumerate(lines[0]) if char == "+"]
    cells = [[line[start + 1 : end].strip() for start, end in pairwise(marks)] for line in (lines[1], *lines[3:-1])]
    return cells[0], cells[1:]
