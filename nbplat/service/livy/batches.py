"""Batches: list, run, look, log, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbplat.service.finding import batches_page, found_batch
from nbplat.service.livy.drafting import drafted, taken_files
from nbplat.service.livy.owner import Impersonation, owner_of, proxy_user_of
from nbplat.service.livy.reading import accepts, body_of, log_range, page_of
from nbplat.session.access import Need
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

    def __init__(
        self, batches: Batches, draft: Callable[[dict[str, Any], str], BatchDraft], impersonation: Impersonation
    ) -> None:
        self._batches = batches
        self._draft = draft
        self._impersonation = impersonation

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
        total, found = await run_in_threadpool(batches_page, self._batches, skip=start, limit=size)
        shown = [await run_in_threadpool(self._json, batch) for batch in found]
        return JSONResponse({"from": start, "total": total, "sessions": shown})

    async def start(self, request: Request) -> Response:
        sent = read_batch_request(await body_of(request))
        fields = dict(sent)
        fields.pop("proxyUser", None)
        if proxy_user := proxy_user_of(request, sent, self._impersonation):
            fields["proxyUser"] = proxy_user
        if why := await run_in_threadpool(self._batches.refusal, fields["file"].partition("#")[0]):
            raise refused(f"requirement failed: {why}")
        await run_in_threadpool(taken_files, fields, self._batches.refusal)
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
        batch = await self._found(request, Need.OWN)
        await run_in_threadpool(self._batches.delete, batch.id)
        return JSONResponse({"msg": "deleted"})

    async def _found(self, request: Request, need: Need | None = None) -> Batch:
        return await run_in_threadpool(found_batch, self._batches, request.path_params["key"], need)

    def _json(self, batch: Batch) -> dict[str, Any]:
        return batch_json(batch, self._batches.log(batch, after=-_LOG_LINES, limit=_LOG_LINES)[1])
