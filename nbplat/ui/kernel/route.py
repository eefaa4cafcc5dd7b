"""Decides where each part of a cell runs: here, or in the session. Text in, text out; nothing is run or asked."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Piece", "Place", "pieces", "place_at", "rewrite"]

Place = Literal["here", "session", "help"]

LIVY_MAGICS = ("json", "table", "matplot")
"""Line magics of Livy's own interpreter: they run where the values are."""

_CELL_MAGIC = re.compile(r"%%(\w+)|%(local)\b")
_LIVY_LINE = re.compile(rf"%({'|'.join(LIVY_MAGICS)})\b")
_HELP = re.compile(r"\?{0,2}\s*(?P<name>[^\W\d][\w.]*)\s*\?{0,2}\s*\Z")
_PARAMETERS = re.compile(r"#\s*Parameters\s*\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a cell: whole lines that run in one place.

    Attributes:
        place: ``help`` is a question about a name (``events?``): the session is asked first.
        line: Lines of the cell before it.
    """

    text: str
    place: Place
    line: int


def pieces(code: str) -> list[Piece]:
    """Cut a cell into the parts that run here and in the session, in order.

    Cell magics run here whole, ``%%local`` as the lines below it. Elsewhere a line magic, a shell line, an assignment
    of one (``run = %backfill status x``) and a question run here, and the lines between them in the session.

    Raises:
        SyntaxError: a magic or a shell line stands inside a block that would run in the session.
    """
    lines = code.splitlines(keepends=True)
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None:
        return [Piece(code, "here", 0)]
    magic = _CELL_MAGIC.match(lines[first])
    if magic is None:
        return _cut(lines)
    body = lines[first + 1 :]
    nested = next((line for line in body if line.strip()), "")
    # The magic below would hand its code on to where cells go, so there it has to be the magic that keeps it here.
    if "local" in (magic[1], magic[2]) and not nested.startswith("%%"):
        return [Piece("".join(body), "here", first + 1)]
    return [Piece("".join(lines[first:]), "here", first)]


def place_at(code: str, cursor: int) -> Place:
    """Where the code at a character runs; what cannot be read yet runs in the session, as plain code does."""
    line = code.count("\n", 0, cursor)
    try:
        found = pieces(code)
    except SyntaxError:
        return "session"
    at = [piece for piece in found if piece.line <= line]
    return at[-1].place if at else "here"


def rewrite(code: str) -> str:
    """The cell as IPython runs it here, with each part of the session's as a ``%%spark`` cell.

    Raises:
        SyntaxError: as `pieces`.
    """
    found = pieces(code)
    text = "".join(_here(piece) for piece in found)
    if len(found) == 1 and found[0].place == "session" and _is_parameters(code):
        # What a runner injects (papermill) is meant for the whole notebook.
        return f"{code.rstrip()}\n{text}"
    return text


def _here(piece: Piece) -> str:
    if piece.place == "session":
        # Blank lines in front keep the numbers of lines in its errors.
        text = "\n" * piece.line + piece.text
        return f"get_ipython().run_cell_magic('spark', '', {text!r})\n"
    if piece.place == "help" and (asked := _HELP.match(piece.text.strip())):
        return f"get_ipython().run_line_magic('nbplat_help', {asked['name']!r})\n"
    return piece.text


def _cut(lines: list[str]) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    while at < len(lines):
        command = _first_command(lines[at:])
        start, end = (len(lines) - at, len(lines) - at) if command is None else command
        before = "".join(lines[at : at + start])
        if any(line.strip() and not line.lstrip().startswith("#") for line in before.splitlines()):
            found.append(Piece(before, "session", at))
        elif command is None and not found:
            found.append(Piece(before, "here", at))
        if command is not None:
            text = "".join(lines[at + start : at + end])
            asked = _HELP.match(text.strip())
            found.append(Piece(text, "help" if asked and "?" in text else "here", at + start))
        at += end
    return found


def _found(kind: Any, tokens_by_line: list[Any]) -> Any:
    try:
        return kind.find(tokens_by_line)
    except IndexError:
        # IPython looks beyond the end of a line such as ``)===%``, which is no magic and no Python.
        return None


def _first_command(lines: list[str]) -> tuple[int, int] | None:
    """Lines `[start, end)` of the first magic, shell line or question; None when there is none."""
    from IPython.core import inputtransformer2 as ipython

    # The session's own magics are code of the session.
    plain = ["None\n" if _LIVY_LINE.match(line) else line for line in lines]
    by_line = ipython.make_tokens_by_line(plain)
    kinds: tuple[Any, ...] = (
        ipython.EscapedCommand, ipython.MagicAssign, ipython.SystemAssign, ipython.HelpEnd,
    )  # fmt: skip
    found = [each for kind in kinds if (each := _found(kind, by_line)) is not None]
    if not found:
        return None
    command = min(found, key=lambda each: each.start_line)
    start = int(command.start_line)
    if lines[start][:1].isspace():
        raise SyntaxError(
            f"{lines[start].strip()!r} runs here and stands in a block that runs in the session: "
            "move it out of the block, or begin the cell with %%local"
        )
    return start, int(ipython.find_end_of_continued_line(plain, start)) + 1


def _is_parameters(code: str) -> bool:
    if not _PARAMETERS.match(code):
        return False
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return False
    return all(isinstance(each, ast.Assign) and _is_literal(each.value) for each in tree.body)


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError):
        return False
    return True
