"""The Livy app: routes, versions, and errors as Livy words them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from nbplat.errors import NbplatError, NotFound, RequestError, unexpected
from nbplat.service.asker import Refused
from nbplat.service.livy.batches import BatchRoutes
from nbplat.service.livy.csrf import RequestedBy
from nbplat.service.livy.jobs import JobRoutes
from nbplat.service.livy.metrics import metrics
from nbplat.service.livy.owner import Impersonation
from nbplat.service.livy.sessions import SessionRoutes
from nbplat.service.livy.statements import StatementRoutes
from nbplat.session.batch import BatchDraft
from nbplat.session.batches import Batches
from nbplat.session.caps import CREATING, TOO_MANY, TOO_MANY_STARTING
from nbplat.session.livy_request import LivyRefusal
from nbplat.session.records import SessionDraft
from nbplat.session.sessions import Sessions

__all__ = ["make_livy"]

_log = logging.getLogger("nbplat.service")

# What clients parse; below 0.5.0 they take us for an old one.
_VERSION = {
    "url": "",
    "branch": "",
    "revision": "",
    "version": "0.9.0",
    "date": "",
    "user": "nbplat",
}


def make_livy(
    sessions: Sessions,
    draft: Callable[[dict[str, Any], str], SessionDraft],
    batches: Batches,
    batch_draft: Callable[[dict[str, Any], str], BatchDraft],
    *,
    csrf: bool = False,
    impersonation: Impersonation | None = None,
    upload_bytes: int = 1 << 30,
) -> Starlette:
    """Build the app.

    Args:
        draft: Makes a `SessionDraft` of a checked request and its owner.
        batch_draft: The same of a batch.
        csrf: Whether requests that change something must carry ``X-Requested-By``.
        impersonation: Who may start things for others; None: nobody.
        upload_bytes: Size of all files that one session takes.
    """
    impersonation = impersonation or Impersonation()
    of_sessions = SessionRoutes(sessions, draft, batches.refusal, impersonation)
    of_statements = StatementRoutes(sessions)
    of_jobs = JobRoutes(sessions, batches.refusal, upload_bytes)
    of_batches = BatchRoutes(batches, batch_draft, impersonation)

    async def root(_: Request) -> Response:
        return RedirectResponse("/docs", status_code=302)

    async def version(_: Request) -> Response:
        return JSONResponse(_VERSION)

    async def figures(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(metrics, sessions, batches))

    return Starlette(
        middleware=[Middleware(RequestedBy)] if csrf else [],
        routes=[
            Route("/", root),
            Route("/version", version),
            Route("/metrics", figures),
            *of_sessions.routes(),
            *of_statements.routes(),
            *of_jobs.routes(),
            *of_batches.routes(),
        ],
        exception_handlers={
            LivyRefusal: _refusal,
            Refused: _forbidden,
            NbplatError: _ours,
            HTTPException: _http,
            Exception: _bug,
        },
    )


async def _refusal(_: Request, exc: Any) -> Response:
    return _json(exc.status, exc.body)


async def _forbidden(_: Request, __: Any) -> Response:
    return Response(status_code=403)


async def _ours(_: Request, exc: Any) -> Response:
    if isinstance(exc, NotFound):
        if exc.code == "session.statement":
            return _json(404, exc.message)
        return _json(404, {"msg": f"Session '{exc.where}' not found."})
    if exc.code == TOO_MANY_STARTING:
        return _json(400, {"msg": f"Rejected, {CREATING}"})
    if isinstance(exc, RequestError) and exc.code in ("session.name", "batch.name", "session.text", TOO_MANY):
        return _json(400, {"msg": f"Rejected, Reason: {exc.message}"})
    return _json(500, f"java.lang.IllegalStateException: {exc.message}")


async def _http(_: Request, exc: Any) -> Response:
    return Response("", status_code=exc.status_code, headers=exc.headers, media_type="text/html")


async def _bug(request: Request, exc: Exception) -> Response:
    error = unexpected(exc)
    _log.error("%s %s [%s]", request.method, request.url.path, error.detail_id, exc_info=exc)
    return _json(500, f"nbplat failed; read the log entry {error.detail_id}")


def _json(status: int, body: Any) -> Response:
    if body is None:
        return Response(status_code=status)
    return Response(json.dumps(body), status_code=status, media_type="application/json")
