"""Livy's guard against forged requests: what changes something must say that it comes from no plain web form."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["RequestedBy"]

_SAFE = ("GET", "HEAD", "OPTIONS")


class RequestedBy:
    """Refuses requests without ``X-Requested-By``, but for those that only read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        carries = any(name.lower() == b"x-requested-by" for name, _ in scope.get("headers", ()))
        if scope["type"] != "http" or scope["method"] in _SAFE or carries:
            await self._app(scope, receive, send)
            return
        reply = JSONResponse({"msg": "Missing Required Header for CSRF protection."}, status_code=400)
        await reply(scope, receive, send)
