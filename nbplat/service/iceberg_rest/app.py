"""The ASGI app: routes, the thread each request runs in, and replies in the protocol's shape."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import IntegrityError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nbplat.service.iceberg_rest import commits, namespaces, tables, views
from nbplat.service.iceberg_rest.body import Call, Reply
from nbplat.service.iceberg_rest.catalog import Embedded
from nbplat.service.iceberg_rest.commits import table_json
from nbplat.service.iceberg_rest.faults import error_body, fault_of
from nbplat.service.iceberg_rest.repeats import LIFETIME

__all__ = ["rest_app"]

Handler = Callable[[Embedded, Call], Reply]

_READS = ("GET", "HEAD")
_KEY_CHARS = 200

_NAMESPACE = "/v1/{prefix}/namespaces/{namespace}"

# What `/v1/config` promises; a client calls nothing else. Paths are the protocol's templates.
_HANDLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/{prefix}/namespaces", namespaces.list_all),
    ("POST", "/v1/{prefix}/namespaces", namespaces.create),
    ("GET", _NAMESPACE, namespaces.describe),
    ("HEAD", _NAMESPACE, namespaces.exists),
    ("DELETE", _NAMESPACE, namespaces.drop),
    ("POST", f"{_NAMESPACE}/properties", namespaces.set_properties),
    ("GET", f"{_NAMESPACE}/tables", tables.list_all),
    ("POST", f"{_NAMESPACE}/tables", tables.create),
    ("GET", f"{_NAMESPACE}/tables/{{table}}", tables.load),
    ("HEAD", f"{_NAMESPACE}/tables/{{table}}", tables.exists),
    ("POST", f"{_NAMESPACE}/tables/{{table}}", commits.commit),
    ("DELETE", f"{_NAMESPACE}/tables/{{table}}", tables.drop),
    ("POST", f"{_NAMESPACE}/register", tables.register),
    ("POST", "/v1/{prefix}/tables/rename", tables.rename),
    ("POST", "/v1/{prefix}/transactions/commit", commits.transaction),
    ("GET", f"{_NAMESPACE}/views", views.list_all),
    ("POST", f"{_NAMESPACE}/views", views.create),
    ("GET", f"{_NAMESPACE}/views/{{view}}", views.load),
    ("HEAD", f"{_NAMESPACE}/views/{{view}}", views.exists),
    ("POST", f"{_NAMESPACE}/views/{{view}}", views.replace),
    ("DELETE", f"{_NAMESPACE}/views/{{view}}", views.drop),
    ("POST", "/v1/{prefix}/views/rename", views.rename),
)


def rest_app(open_catalog: Callable[[], SqlCatalog]) -> Starlette:
    """Serve one SQL catalog.

    Args:
        open_catalog: Called once, in a thread, by the first request that needs the catalog.
    """
    opened: list[Embedded] = []
    guard = threading.Lock()

    def catalog() -> Embedded:
        with guard:
            if not opened:
                opened.append(Embedded(open_catalog()))
            return opened[0]

    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            # Read in full even when it is of no use: an unread body would break the kept-alive connection.
            raw = await request.body()
            call = Call(
                request.path_params,
                request.query_params,
                raw,
                request.headers.get("if-none-match", ""),
                request.headers.get("idempotency-key", "")[:_KEY_CHARS],
            )
            return await run_in_threadpool(_answer, catalog, handler, call, method)

        made = Route(path.replace("/{prefix}", ""), endpoint, methods=[method])
        # Starlette adds HEAD to every GET; ours are routes of their own, without a body to build.
        made.methods = {method}
        return made

    return Starlette(
        routes=[Route("/v1/config", _config, methods=["GET"]), *(route(*entry) for entry in _HANDLERS)],
        exception_handlers={HTTPException: _no_route},
    )


def _answer(catalog: Callable[[], Embedded], handler: Handler, call: Call, method: str) -> Response:
    try:
        reply = handler(catalog(), call) if method in _READS or not call.key else _once(catalog(), handler, call)
    except Exception as exc:  # noqa: BLE001 - the protocol's clients need every failure in its own shape
        fault = fault_of(exc, writes=method not in _READS)
        reply = Reply(fault.status, error_body(fault.status, fault.type, fault.message))
    return _respond(reply, head=method == "HEAD")


def _once(catalog: Embedded, handler: Handler, call: Call) -> Reply:
    """Carry out a request that names itself, or answer with what it did before."""
    repeats = catalog.pointers.repeats
    done = repeats.find(call.key)
    if done is None:
        try:
            with repeats.under(call.key):
                reply = handler(catalog, call)
        except IntegrityError:
            # The same request came twice at once, and the other one was quicker.
            done = repeats.find(call.key)
            if done is None:
                raise
        else:
            if not isinstance(reply.content, bytes):
                repeats.note_answer(call.key, reply.content)
            return reply
    if done.location:
        return Reply(content=table_json(done.location, catalog.warehouse.read(done.location)))
    return Reply(200, done.content) if done.content is not None else Reply(204)


def _respond(reply: Reply, *, head: bool = False) -> Response:
    content = b"" if head or reply.content is None else reply.content
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(body, reply.status, headers=dict(reply.headers), media_type="application/json" if body else None)


async def _config(_request: Request) -> Response:
    endpoints = [f"{method} {path}" for method, path, _ in _HANDLERS]
    return _respond(
        Reply(content={"defaults": {}, "overrides": {}, "endpoints": endpoints, "idempotency-key-lifetime": LIFETIME})
    )


async def _no_route(request: Request, exc: Exception) -> Response:
    status: Any = getattr(exc, "status_code", 404)
    message = f"{request.method} {request.url.path} is not served here"
    return _respond(Reply(status, error_body(status, "NotFoundException", message)), head=request.method == "HEAD")
