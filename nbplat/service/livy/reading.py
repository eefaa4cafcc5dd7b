"""What every Livy route reads of a request."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from starlette.requests import Request

from nbplat.session.livy_request import LivyRefusal, read_json

__all__ = [
    "MAX_BODY_BYTES",
    "LogRange",
    "accepts",
    "body_of",
    "log_range",
    "number",
    "page_of",
    "statement_number",
    "wait_s",
]

MAX_BODY_BYTES = 16 << 20
"""Of a JSON body; a program that is longer belongs into a file."""

_VERSIONS = re.compile(r"application/vnd\.livy\.v([^+\s]*)\+json")
_KNOWN = ("0.1",)
_WAIT = re.compile(r"wait=(\d+)")
_HOLD_S = 2.0
_MOST_S = 30.0
# Livy counts in 32 bits.
_DIGITS = 10
_MOST = (1 << 31) - 1


def accepts(request: Request) -> None:
    """Hold the wanted version against ours.

    Raises:
        LivyRefusal: 406.
    """
    wanted = _VERSIONS.search(request.headers.get("accept", ""))
    if wanted and wanted[1] not in _KNOWN:
        raise LivyRefusal(406, {"msg": f"No value found for '{wanted[1]}'"})


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent, under any content type but a form's.

    Raises:
        LivyRefusal: 400 for no JSON, 413 for more than `MAX_BODY_BYTES`.
    """
    accepts(request)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise LivyRefusal(400, "No content to map due to end-of-input")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise LivyRefusal(413, {"msg": f"The body is longer than {MAX_BODY_BYTES >> 20} MiB"})
        pieces.append(piece)
    return read_json(b"".join(pieces))


def number(request: Request, name: str, default: int) -> int:
    """A number of the query.

    Raises:
        LivyRefusal: 400: it is none.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        # A page can start nowhere beyond: a database takes no larger number.
        return max(-_MOST, min(int(text), _MOST))
    except ValueError:
        raise LivyRefusal(400, {"msg": f"{name} is no number: {text[:50]}"}) from None


def page_of(request: Request) -> tuple[int, int]:
    """First entry and how many of a list: ``from`` and ``size``."""
    return max(0, number(request, "from", 0)), max(0, number(request, "size", 100))


def statement_number(request: Request) -> int:
    """The number of a statement or job that a path names.

    Raises:
        LivyRefusal: 400: it is none.
    """
    text = request.path_params["number"]
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        raise LivyRefusal(400, {"msg": f"{text[:50]} is no number of a statement"})
    return int(text)


class LogRange(NamedTuple):
    """Which lines of a log are asked for.

    Attributes:
        after: The line before the first; negative: counted from the end.
    """

    after: int
    limit: int

    def first(self, total: int, count: int) -> int:
        """The number of the first of `count` lines that were found."""
        return max(0, total - count) if self.after < 0 else self.after


def log_range(request: Request) -> LogRange:
    """The last hundred lines; with ``from`` all that follow it, with ``size`` at most so many."""
    start = number(request, "from", -1)
    size = max(0, number(request, "size", 100 if start < 0 else _MOST))
    return LogRange(start, size) if start >= 0 else LogRange(-size or -1, size)


def wait_s(request: Request) -> float:
    """How long a client lets us hold an answer that has nothing new: ``Prefer: wait=10``, else two seconds."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), _MOST_S) if found else _HOLD_S
