"""Jobs of Livy's programmatic clients, and the files that they give a session."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbplat.errors import NotFound
from nbplat.service.finding import found_session
from nbplat.service.livy.reading import accepts, body_of, statement_number
from nbplat.service.livy.upload import take_file
from nbplat.session.jobs import JOB_KIND, job_json
from nbplat.session.livy_request import refused
from nbplat.session.records import Session, Statement
from nbplat.session.sessions import Sessions

__all__ = ["JobRoutes"]

_KINDS = ("jar", "pyfile", "file")


class JobRoutes:
    """Routes of jobs, ``upload-…`` and ``add-…`` of a session.

    Args:
        refusal: Why a file must not be taken; None: it may.
        upload_bytes: Size of all files that one session takes.
    """

    def __init__(self, sessions: Sessions, refusal: Callable[[str], str | None], upload_bytes: int) -> None:
        self._sessions = sessions
        self._refusal = refusal
        self._upload_bytes = upload_bytes

    def routes(self) -> list[Route]:
        one = "/sessions/{key}"
        files = [
            Route(f"{one}/{verb}-{kind}", partial(self._take, kind, verb), methods=["POST"])
            for kind in _KINDS
            for verb in ("upload", "add")
        ]
        return [
            Route(f"{one}/submit-job", self.submit, methods=["POST"]),
            Route(f"{one}/run-job", self.submit, methods=["POST"]),
            Route(f"{one}/jobs/{{number}}", self.show, methods=["GET"]),
            Route(f"{one}/jobs/{{number}}/cancel", self.cancel, methods=["POST"]),
            *files,
        ]

    async def submit(self, request: Request) -> Response:
        session = await self._session(request)
        body = await body_of(request)
        text, kind = body.get("job"), body.get("jobType") or "pyspark"
        if kind not in ("pyspark", "python"):
            # Livy's Java and Scala clients send Kryo of classes that only Livy's own jars have.
            raise refused(f"requirement failed: nothing here runs jobs of type {kind}")
        if not isinstance(text, str) or not _is_base64(text):
            raise refused("requirement failed: job is no base64 text")
        job = await run_in_threadpool(self._sessions.submit, session.id, text, JOB_KIND)
        shown = {"id": job.id, "state": "SENT", "result": None, "error": None}
        return JSONResponse(shown, status_code=201, headers={"Location": f"/sessions/{session.id}/submit-job/{job.id}"})

    async def show(self, request: Request) -> Response:
        accepts(request)
        return JSONResponse(job_json(await self._job(request)))

    async def cancel(self, request: Request) -> Response:
        job = await self._job(request)
        await run_in_threadpool(self._sessions.cancel, job.session_id, job.id)
        return Response(status_code=200)

    async def _take(self, kind: str, verb: str, request: Request) -> Response:
        session = await self._session(request)
        if verb == "upload":
            # Refused before anything is read when there is no driver to give it to.
            folder = await run_in_threadpool(self._sessions.folder, session.id)
            uploads = Path(folder) / "uploads"
            room = self._upload_bytes - await run_in_threadpool(_size_of, uploads)
            uri = str(await take_file(request, ("jar", "file"), uploads, room_bytes=room))
        else:
            uri = self._uri(await body_of(request))
            if why := await run_in_threadpool(self._refusal, uri):
                raise refused(f"requirement failed: {why}")
        await run_in_threadpool(self._sessions.add, session.id, kind, uri)
        return Response(status_code=200)

    def _uri(self, body: dict[str, Any]) -> str:
        uri = body.get("uri")
        if not isinstance(uri, str) or not uri:
            raise refused("requirement failed: uri is missing")
        return uri

    async def _session(self, request: Request) -> Session:
        return await run_in_threadpool(found_session, self._sessions, request.path_params["key"])

    async def _job(self, request: Request) -> Statement:
        session = await self._session(request)
        number = statement_number(request)
        found = await run_in_threadpool(self._sessions.store.statement, session.id, number)
        if found.kind != JOB_KIND:
            raise NotFound(
                "session.statement",
                f"session {session.id} has no job {number}",
                fix="take the id that submit-job gave",
                where=str(number),
            )
        return found


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
