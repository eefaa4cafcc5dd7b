"""Who may talk to the service: whoever holds its token, and on loopback only under a loopback name."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from nbplat.errors import RequestError
from nbplat.service.replies import error_reply

__all__ = ["OPEN_PATHS", "Gate", "is_loopback", "sent_tokens"]

OPEN_PATHS = frozenset({"/api/v1/health"})


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def sent_tokens(authorization: str) -> list[str]:
    """The token in an Authorization header: Bearer, or the Basic password of any user name."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()]
    if scheme.lower() == "basic":
        try:
            return [base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]]
        except (binascii.Error, UnicodeDecodeError):
            return []
    return []


class Gate:
    """Checks every request before any route sees it, as plain ASGI: it covers mounted apps and streams too.

    Args:
        token: The service's token.
        loopback: Whether the service is bound to loopback. Then a Host header with another name is
            refused: a web page could have its own name resolve to 127.0.0.1 (DNS rebinding).
        self_guarded: Path prefixes of mounted apps that check tokens themselves, in their own error shape.
    """

    def __init__(self, app: ASGIApp, *, token: str, loopback: bool, self_guarded: Collection[str]) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback
        self._self_guarded = self_guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reply: Any = None
        if self._loopback and not is_loopback(_host_name(headers.get("host", ""))):
            error = RequestError("service.host", "the Host header names another machine", fix="use 127.0.0.1")
            reply = error_reply(error, status=400)
        elif not self._open(scope["path"]) and not self._known(headers.get("authorization", "")):
            error = RequestError(
                "service.token",
                "the token is missing or wrong",
                fix="send the token of run/service.json as Bearer, or as the Basic password of any user name",
            )
            reply = error_reply(error, status=401, headers={"WWW-Authenticate": 'Basic realm="nbplat"'})
        if reply is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await reply(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _open(self, path: str) -> bool:
        return path in OPEN_PATHS or any(path == p or path.startswith(p + "/") for p in self._self_guarded)

    def _known(self, authorization: str) -> bool:
        return any(hmac.compare_digest(sent.encode(), self._token.encode()) for sent in sent_tokens(authorization))


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]
