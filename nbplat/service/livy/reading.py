"""What every Livy route reads of a request."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

from nbplat.session.livy_request import LivyRefusal, read_json

__all__ = ["MAX_BODY_BYTES", "accepts", "body_of", "number", "wait_s"]

MAX_BODY_BYTES = 16 << 20
"""Of a JSON body; a program that is longer belongs into a file."""

_VERSIONS = re.compile(r"application/vnd\.livy\.v([^+\s]*)\+json")
_KNOWN = ("0.1",)
_WAIT = re.compile(r"wait=(\d+)")
_HOLD_S = 2.0
_MOST_S = 30.0


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
        return int(text)
    except ValueError:
        raise LivyRefusal(400, {"msg": f"{name} is no number: {text[:50]}"}) from None


def wait_s(request: Request) -> float:
    """How long a client lets us hold an answer that has nothing new: ``Prefer: wait=10``, else two seconds."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), _MOST_S) if found else _HOLD_S
