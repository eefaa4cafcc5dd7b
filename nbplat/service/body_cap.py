"""Refuses a body about sessions that is too long while it is read, before anything holds it whole."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY_BYTES", "BodyCap"]

MAX_BODY_BYTES = 16 << 20
"""Of a request about sessions; a program that is longer belongs into a file."""

# Frames have a cap of their own.
_CAPPED = re.compile(r"/api/v1/sessions(?!/[^/]*/frames\Z)(/|\Z)")


class BodyCap:
    """Around the routes, whose handler of errors answers 413."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise HTTPException(413, f"the body is longer than {self._limit:,} bytes")
            return message

        capped = scope["type"] == "http" and _CAPPED.match(scope["path"]) is not None
        await self._app(scope, counted if capped else receive, send)
