"""`/iceberg`: the embedded catalog for JVM engines, with its own token and its own error shape."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from typing import TYPE_CHECKING, Protocol, cast

from nbplat.config import Config

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pyiceberg.catalog.sql import SqlCatalog
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["PATH", "Host", "catalog_token", "mount"]

PATH = "/iceberg"


class Host(Protocol):
    """What the mount needs of the platform."""

    @property
    def config(self) -> Config: ...


def catalog_token(token: str) -> str:
    """The scoped token that Spark gets: derived from the service's token and good for nothing but `/iceberg`.

    HMAC-SHA256, so neither token can be computed from the other without the service's.
    """
    return hmac.new(token.encode(), b"nbplat iceberg catalog v1", hashlib.sha256).hexdigest()


def mount(app: FastAPI, platform: Host, token: str) -> None:
    """Serve the embedded catalog under `/iceberg`, outside our OpenAPI page and our own authentication.

    Where the configuration names another catalog there is no embedded one, and every request is answered 404.

    Args:
        token: The service's token; it and `catalog_token` of it are accepted as Bearer.
    """
    app.mount(PATH, _Guarded(_served(platform.config), (token, catalog_token(token))))


class _Guarded:
    """Lets through what carries one of the tokens; anything else is 401 in Iceberg's shape."""

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...]) -> None:
        self._app = app
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._admits(dict(scope["headers"]).get(b"authorization", b"")):
            await _refuse(send, 401, "NotAuthorizedException", "a valid Bearer token is needed")
            return
        await self._app(scope, receive, send)

    def _admits(self, header: bytes) -> bool:
        scheme, _, given = header.partition(b" ")
        # Every token is compared, so that the time taken tells nothing about which was near.
        return scheme.lower() == b"bearer" and bool(sum(hmac.compare_digest(given, token) for token in self._tokens))


def _served(config: Config) -> ASGIApp:
    if config.catalog:
        return _absent
    return _Lazy(config)


class _Lazy:
    """Builds the catalog's app at the first request: pyiceberg takes half a second to import."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._app: ASGIApp | None = None
        self._guard = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.concurrency import run_in_threadpool

        app = self._app
        if app is None:
            app = await run_in_threadpool(self._build)
        await app(scope, receive, send)

    def _build(self) -> ASGIApp:
        with self._guard:
            if self._app is None:
                self._app = _build(self._config)
            return self._app


def _build(config: Config) -> ASGIApp:
    from nbplat.adapters.iceberg.catalog import open_catalog
    from nbplat.service.iceberg_rest.app import rest_app

    return rest_app(lambda: cast("SqlCatalog", open_catalog(config)))


async def _absent(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _refuse(
        send, 404, "NotFoundException", "this service has no embedded catalog: the setting catalog.name names another"
    )


async def _refuse(send: Send, status: int, type_: str, message: str) -> None:
    body = json.dumps({"error": {"message": message, "type": type_, "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
