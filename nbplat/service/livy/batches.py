"""Batches: list, run, look, log, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbplat.service.livy.drafting import drafted
from nbplat.service.livy.owner import owner_of
from nbplat.service.livy.reading import accepts, body_of, log_range, page_of
from nbplat.session.batch import Batch, BatchDraft
from nbplat.session.batches import Batches
from nbplat.session.livy_reply import batch_json
from nbplat.session.livy_request import read_batch_request, refused

__all__ = ["BatchRoutes"]

_LOG_LINES = 10


class BatchRoutes:
    """Routes of ``/batches``.

    Args:
        draft: Makes a draft of a checked request and its owner.
    """

    def __init__(self, batches: Batches, draft: Callable[[dict[str, Any], str], BatchDraft]) -> None:
        self._batches = batches
        self._draft = draft

    def routes(self) -> list[Route]:
        one = "/batches/{key}"
        return [
            Route("/batches", self.list_batches, methods=["GET"]),
            Route("/batches", self.start, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/state", self.state, methods=["GET"]),
            Route(f"{one}/log", self.log, methods=["GET"]),
        ]

    async def list_batches(self, request: Request) -> Response:
        accepts(request)
        start, size = page_of(request)
        total, found = await run_in_threadpool(self._batches.page, skip=start, limit=size)
        shown = [await run_in_threadpool(self._json, batch) for batch in found]
        return JSONResponse({"from": start, "total": total, "sessions": shown})

    async def start(self, request: Request) -> Response:
        fields = read_batch_request(await body_of(request))
        for path in (fields["file"], *(path for name in _FILES for path in fields.get(name, ()))):
            # Of an archive `x.tar.gz#name` the name is where it is unpacked.
            if why := await run_in_threadpool(self._batches.refusal, path.partition("#")[0]):
                raise refused(f"requirement failed: {why}")
        draft = await run_in_threadpool(drafted, self._draft, fields, owner_of(request))
        batch = await run_in_threadpool(self._batches.start, draft)
        shown = await run_in_threadpool(self._json, batch)
        return JSONResponse(shown, status_code=201, headers={"Location": f"/batches/{batch.id}"})

    async def show(self, request: Request) -> Response:
        accepts(request)
        return JSONResponse(await run_in_threadpool(self._json, await self._found(request)))

    async def state(self, request: Request) -> Response:
        batch = await self._found(request)
        return JSONResponse({"id": batch.id, "state": batch_json(batch, ())["state"]})

    async def log(self, request: Request) -> Response:
        batch = await self._found(request)
        wanted = log_range(request)
        total, lines = await run_in_threadpool(self._batches.log, batch, after=wanted.after, limit=wanted.limit)
        return JSONResponse(
            {"id": batch.id, "from": wanted.first(total, len(lines)), "total": total, "log": list(lines)}
        )

    async def delete(self, request: Request) -> Response:
        batch = await self._found(request)
        await run_in_threadpool(self._batches.delete, batch.id)
        return JSONResponse({"msg": "deleted"})

    async def _found(self, request: Request) -> Batch:
        return await run_in_threadpool(self._batches.find, request.path_params["key"])

    def _json(self, batch: Batch) -> dict[str, Any]:
        return batch_json(batch, self._batches.log(batch, after=-_LOG_LINES, limit=_LOG_LINES)[1])


_FILES = ("jars", "pyFiles", "files", "archives")
