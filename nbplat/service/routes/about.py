"""Is it up, which version, what does it hold, what can one ask."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from nbplat.clock import iso
from nbplat.config import redact_url
from nbplat.job import JobState
from nbplat.service.discovery import version
from nbplat.service.platform import Platform

__all__ = ["router"]

_COUNT_LIMIT = 1000


def router(platform: Platform, worker: Callable[[], Mapping[str, Any]]) -> APIRouter:
    routes = APIRouter(tags=["about"])
    store, config = platform.store, platform.config
    started_ms = platform.clock.now_ms()

    @routes.get("/api/v1/health")
    def health() -> dict[str, str]:
        """Whether it answers; needs no token."""
        return {"status": "ok"}

    @routes.get("/api/v1/version")
    def read_version() -> dict[str, str]:
        """The version of nbplat that serves."""
        return {"version": version(), "api": "v1"}

    @routes.get("/api/v1/status")
    def status() -> dict[str, Any]:
        """Service, worker, store, catalog and how much is queued or runs (counted up to 1000)."""
        live = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)
        return {
            "service": {
                "pid": os.getpid(),
                "version": version(),
                "started": iso(started_ms),
                "home": str(config.home),
            },
            "worker": dict(worker()),
            "store": redact_url(config.store_url) or str(config.home / "store.db"),
            "catalog": config.catalog or "embedded",
            "jobs": {state.value: len(store.jobs(states={state}, limit=_COUNT_LIMIT)) for state in live},
        }

    @routes.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        """The routes as a plain page: no script, nothing fetched from elsewhere."""
        rows = [
            f"<tr><td><code>{verb.upper()} {html.escape(path)}</code></td>"
            f"<td>{html.escape(operation.get('description', operation.get('summary', '')))}</td></tr>"
            for path, verbs in sorted(request.app.openapi()["paths"].items())
            for verb, operation in verbs.items()
        ]
        return HTMLResponse(
            "<!doctype html><meta charset=utf-8><title>nbplat</title><h1>nbplat service</h1>"
            f'<p>Schema: <a href="openapi.json">openapi.json</a></p><table>{"".join(rows)}</table>'
        )

    return routes
