"""Kept definitions of sequences and their indexes over HTTP; thin over `nbplat.service.sequence_verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from nbplat.service import sequence_verbs
from nbplat.service.sequence_verbs import Asked
from nbplat.service.wake import notify_worker

if TYPE_CHECKING:
    from nbplat.service.platform import Platform

__all__ = ["router"]


def router(platform: Platform) -> APIRouter:
    """The routes under ``/api/v1/sequences``."""
    routes = APIRouter(prefix="/api/v1/sequences", tags=["sequences"])

    def woken(reply: dict[str, Any]) -> dict[str, Any]:
        if reply["job"] is not None:
            notify_worker(platform.config)
        return reply

    @routes.get("")
    def list_sequences(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        """Kept definitions, newest first."""
        return {"sequences": sequence_verbs.listed(platform.sequences, limit)}

    @routes.post("")
    def keep(request: Asked) -> dict[str, Any]:
        """Keep a definition under its name and version; an equal one is the same run."""
        return sequence_verbs.keep(platform.sequences, request)

    @routes.post("/plan")
    def plan(request: Asked) -> dict[str, Any]:
        """What a build would do; nothing is stored and nothing is written."""
        return sequence_verbs.plan(platform.sequences, request)

    @routes.post("/build")
    def build(request: Asked) -> dict[str, Any]:
        """Queue the build of an index, or what brings it up to date."""
        return woken(sequence_verbs.build(platform.sequences, request))

    @routes.post("/correct")
    def correct(request: Asked) -> dict[str, Any]:
        """Queue the comparison of a window of the source with the index; with ``publish`` the change is written."""
        return woken(sequence_verbs.correct(platform.sequences, request))

    @routes.post("/export")
    def export(request: Asked) -> dict[str, Any]:
        """Queue the writing of the sequences as lists into a table."""
        return woken(sequence_verbs.export(platform.sequences, request))

    @routes.get("/{ref}")
    def show(ref: str) -> dict[str, Any]:
        """A kept definition: its text, defaults, variants, index and jobs."""
        return sequence_verbs.seen(platform.sequences, ref)

    @routes.get("/{ref}/diff")
    def diff(ref: str, other: str | None = None) -> dict[str, Any]:
        """What differs from another kept definition, or from the version before it, and how the index is."""
        return sequence_verbs.compared(platform.sequences, ref, other)

    return routes
