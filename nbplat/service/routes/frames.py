"""DataFrames of notebooks, sent as Arrow IPC streams; thin over `nbplat.backfill.frames.Frames`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from nbplat.backfill.frames import check_size
from nbplat.errors import RequestError

if TYPE_CHECKING:
    from nbplat.service.platform import Platform

__all__ = ["router"]


def router(platform: Platform) -> APIRouter:
    """The routes under ``/api/v1/frames``."""
    routes = APIRouter(prefix="/api/v1/frames", tags=["frames"])

    @routes.post("")
    async def keep(name: str, request: Request) -> dict[str, Any]:
        """Store a frame; the body is one Arrow IPC stream. One of equal content is stored once."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            check_size(name, len(body), platform.config.frame_bytes)
        return await run_in_threadpool(_keep, platform, name, bytes(body))

    @routes.get("")
    def unused() -> dict[str, Any]:
        """Frames by the runs that name them, and those that none does."""
        frames = platform.frames
        return {"named": frames.named(), "unused": frames.unused()}

    @routes.post("/let-go")
    def let_go(tables: list[str]) -> dict[str, Any]:
        """Drop those of the frames that no run names."""
        return {"dropped": platform.frames.let_go(tables)}

    return routes


def _keep(platform: Platform, name: str, body: bytes) -> dict[str, Any]:
    import pyarrow as pa

    try:
        rows = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        rows.validate(full=True)
    except (pa.ArrowException, OSError) as exc:  # the latter for bytes that only look like a stream
        raise RequestError(
            "frame.body", f"the request holds no Arrow IPC stream: {exc}", fix="send the bytes of one IPC stream"
        ) from None
    return platform.frames.keep(name, rows).record()
