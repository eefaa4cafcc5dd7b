"""Runs and events as the ledger holds them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from nbplat.service.platform import Platform
from nbplat.service.records import event_record, run_record
from nbplat.service.routes.polling import MAX_WAIT_S, until

__all__ = ["router"]


def router(platform: Platform) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["ledger"])
    store = platform.store

    @routes.get("/runs")
    def list_runs(
        kind: str | None = None, name: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """Runs, newest first."""
        return {"runs": [run_record(run) for run in store.runs(kind, name=name, limit=limit)]}

    @routes.get("/runs/{kind}/{run_id}")
    def read_run(kind: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return run_record(store.run(kind, run_id))

    @routes.get("/events")
    async def list_events(
        request: Request,
        after: Annotated[int, Query(ge=0, le=1 << 60)] = 0,
        run_id: str | None = None,
        limit: Annotated[int, Query(ge=1, le=5000)] = 500,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0,
    ) -> dict[str, Any]:
        """Events after a number, oldest first; waits up to `wait_s` for the first one."""
        events = await until(request, lambda: store.events(after=after, run_id=run_id, limit=limit), bool, wait_s)
        return {"events": [event_record(e) for e in events], "next_after": events[-1].seq if events else after}

    return routes
