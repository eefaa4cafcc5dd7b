"""Who may talk to the service: whoever proves who they are, and on loopback only under a loopback name."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from nbplat.errors import NbplatError, RequestError
from nbplat.job import asking_from
from nbplat.service.asker import asking_as
from nbplat.service.callers import Callers
from nbplat.service.discovery import NOTEBOOK_HEADER
from nbplat.service.replies import error_reply
from nbplat.session.access import Principal

__all__ = ["OPEN_PATHS", "Gate", "is_loopback"]

OPEN_PATHS = frozenset({"/api/v1/health"})
_LOGINS = 4


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """Checks every request before any route sees it, as plain ASGI: it covers mounted apps and streams too.

    Args:
        callers: Says who sends a request; whoever it is, is what `nbplat.service.asker.asking` tells the routes.
        loopback: Whether the service is bound to loopback. Then a Host header with another name is
            refused: a web page could have its own name resolve to 127.0.0.1 (DNS rebinding).
        self_guarded: Path prefixes of mounted apps that check tokens themselves, in their own error shape.
    """

    def __init__(self, app: ASGIApp, *, callers: Callers, loopback: bool, self_guarded: Collection[str]) -> None:
        self._app = app
        self._callers = callers
        # Of their own: logins that take long must not hold up those who are known.
        self._threads = ThreadPoolExecutor(_LOGINS, thread_name_prefix="login") if callers.team else None
        self._loopback = loopback
        self._self_guarded = self_guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reply: Any = None
        principal = None
        if self._loopback and not is_loopback(_host_name(headers.get("host", ""))):
            error = RequestError("service.host", "the Host header names another machine", fix="use 127.0.0.1")
            reply = error_reply(error, status=400)
        elif not self._open(scope["path"]):
            authorization = headers.get("authorization", "")
            try:
                principal = self._callers.at_once(authorization)
                if principal is None and self._callers.team:
                    principal = await self._asked(authorization)
            except NbplatError as exc:
                reply = error_reply(exc, status=503)
            else:
                reply = None if principal is not None else self._unknown()
        if principal is not None:
            told = unquote(headers.get(NOTEBOOK_HEADER.lower(), ""))
            with asking_as(principal, scope.get("method", "")), asking_from(told):
                await self._app(scope, receive, send)
        elif reply is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await reply(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _asked(self, authorization: str) -> Principal | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._callers.asked, authorization)

    def _open(self, path: str) -> bool:
        return path in OPEN_PATHS or any(path == p or path.startswith(p + "/") for p in self._self_guarded)

    def _unknown(self) -> Any:
        if self._callers.team:
            error = RequestError(
                "service.login",
                "nobody here is known by what you sent, or you sent nothing",
                fix="send your own token as Bearer or as the Basic password, or your name and password as Basic",
            )
        else:
            error = RequestError(
                "service.token",
                "the token is missing or wrong",
                fix="send the token of run/service.json as Bearer, or as the Basic password of any user name",
            )
        reply = error_reply(error, status=401)
        for challenge in self._callers.challenges:
            reply.headers.append("WWW-Authenticate", challenge)
        return reply


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]
