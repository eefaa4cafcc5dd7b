"""Every failure leaves the service as one record with its class's status."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nbplat.errors import InternalError, NbplatError, NotFound, RequestError, unexpected

__all__ = ["answer_errors", "error_reply"]

_log = logging.getLogger("nbplat.service")


def error_reply(
    error: NbplatError, *, status: int | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The record of an error. `status` stands in where HTTP has a word of its own (401, 405)."""
    return JSONResponse(error.record(), status_code=status or error.http_status, headers=headers)


def answer_errors(app: FastAPI) -> None:
    """Turn whatever a route raises into a record."""

    @app.exception_handler(NbplatError)
    async def ours(_request: Request, exc: NbplatError) -> JSONResponse:
        return error_reply(exc)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, exc: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where} is not valid: {first['msg']}"
        return error_reply(RequestError("request.invalid", message, fix="see /openapi.json for its shape", where=where))

    @app.exception_handler(HTTPException)
    async def http(request: Request, exc: HTTPException) -> JSONResponse:
        path = request.url.path
        if exc.status_code == 404:
            return error_reply(NotFound("route.unknown", f"there is no {path} here", fix="see /docs for what there is"))
        if exc.status_code == 413:
            error: NbplatError = RequestError(
                "request.size",
                f"{request.method} {path}: {exc.detail}",
                fix="put a long program into a file and import it; send data as a frame",
            )
        elif exc.status_code < 500:
            error = RequestError(
                "request.refused", f"{request.method} {path}: {exc.detail}", fix="see /docs for what there is"
            )
        else:
            error = InternalError("internal.http", f"{request.method} {path} failed", fix="see the service's log")
        return error_reply(error, status=exc.status_code, headers=dict(exc.headers or {}))

    @app.exception_handler(Exception)
    async def bug(request: Request, exc: Exception) -> JSONResponse:
        error = unexpected(exc)
        _log.error("%s %s [%s]", request.method, request.url.path, error.detail_id, exc_info=exc)
        return error_reply(error)
