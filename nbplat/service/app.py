"""The HTTP face of the platform."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nbplat.service.auth import Gate
from nbplat.service.body_cap import BodyCap
from nbplat.service.callers import Callers
from nbplat.service.discovery import version
from nbplat.service.platform import Platform
from nbplat.service.replies import answer_errors
from nbplat.service.routes import (
    about,
    backfills,
    board,
    environments,
    frames,
    iceberg,
    jobs,
    ledger,
    sequences,
    tables,
)

__all__ = ["make_app"]

_log = logging.getLogger("nbplat.http")


def make_app(
    platform: Platform,
    token: str,
    *,
    loopback: bool = True,
    worker: Callable[[], Mapping[str, Any]] = dict,
    stopping: Callable[[], bool] = lambda: False,
    sessions: APIRouter | None = None,
    livy: Starlette | None = None,
    callers: Callers | None = None,
) -> FastAPI:
    """Build the app.

    Args:
        token: The service's own.
        callers: Who may come in; None: whoever holds the token.
        loopback: Whether it is bound to loopback; then the Host header is checked too.
        worker: Tells the worker's state for ``/api/v1/status``.
        sessions: Routes of `nbplat.service.routes.sessions`.
        livy: Serves what no other route takes.
        stopping: True once the service shuts down, so that long polls answer at once.
    """
    app = FastAPI(title="nbplat", version=version(), docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.stopping = stopping
    answer_errors(app)
    if sessions is not None:
        # First: they are asked for by every cell, and each route before costs its look at the path.
        app.include_router(sessions)
    app.include_router(about.router(platform, worker))
    app.include_router(ledger.router(platform))
    app.include_router(board.router(platform))
    app.include_router(jobs.router(platform))
    app.include_router(backfills.router(platform))
    app.include_router(frames.router(platform))
    app.include_router(tables.router(platform))
    app.include_router(sequences.router(platform))
    app.include_router(environments.router(platform))
    iceberg.mount(app, platform, token)
    if livy is not None:
        # Last: what no route of ours takes is Livy's, with its own codes.
        app.mount("/", livy)
        app.add_middleware(_LivyFirst, livy=livy)
    app.add_middleware(BodyCap)
    callers = callers or Callers(token)
    app.state.callers = callers
    app.add_middleware(Gate, callers=callers, loopback=loopback, self_guarded=(iceberg.PATH,))
    app.add_middleware(_AccessLog)
    return app


class _LivyFirst:
    """Takes Livy's own paths to its app: to hold them against every route of ours first costs more than the answer."""

    def __init__(self, app: ASGIApp, livy: Starlette) -> None:
        self._app = app
        self._livy = livy
        self._names = {_first_name(route.path) for route in livy.routes if isinstance(route, Route)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        theirs = scope["type"] == "http" and _first_name(scope["path"]) in self._names
        await (self._livy if theirs else self._app)(scope, receive, send)


def _first_name(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


class _AccessLog:
    """One line a request: method, path, status, time. Never the query string: it may hold a token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            took_ms = round((time.monotonic() - started) * 1000)
            _log.info("%s %s %d %d ms", scope["method"], scope["path"], status, took_ms)
