"""Statements: list, run, look, cancel."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbplat.errors import NotFound
from nbplat.service.finding import found_session
from nbplat.service.livy.reading import accepts, body_of, page_of, statement_number, wait_s
from nbplat.session.livy_reply import statement_json
from nbplat.session.livy_request import KINDS, LivyRefusal
from nbplat.session.records import Session, Statement
from nbplat.session.sessions import Sessions
from nbplat.session.states import FINAL

__all__ = ["StatementRoutes"]

_CHUNKS = 1_000_000
_RUNS = ("pyspark", "sql", "spark")


class StatementRoutes:
    """Routes of ``/sessions/{key}/statements``."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def routes(self) -> list[Route]:
        every = "/sessions/{key}/statements"
        return [
            Route(every, self.list_statements, methods=["GET"]),
            Route(every, self.run, methods=["POST"]),
            Route(f"{every}/{{number}}", self.show, methods=["GET"]),
            Route(f"{every}/{{number}}/cancel", self.cancel, methods=["POST"]),
        ]

    async def list_statements(self, request: Request) -> Response:
        accepts(request)
        session = await self._session(request)
        start, size = page_of(request)
        total, found = await run_in_threadpool(
            self._sessions.store.statements,
            session.id,
            skip=start,
            limit=size,
            jobs=False,
            newest_first=request.query_params.get("order", "").lower() == "desc",
        )
        shown = [await run_in_threadpool(self._json, statement) for statement in found]
        return JSONResponse({"total_statements": total, "statements": shown})

    async def run(self, request: Request) -> Response:
        session = await self._session(request)
        body = await body_of(request)
        code = body.get("code")
        if code is None:
            raise LivyRefusal(500, "java.lang.IllegalArgumentException: requirement failed: code is missing")
        kind = self._kind(session, body.get("kind"))
        text = code if isinstance(code, str) else str(code)
        statement = await run_in_threadpool(self._sessions.submit, session.id, text.replace("\r\n", "\n"), kind)
        return JSONResponse(
            statement_json(statement, ()),
            status_code=201,
            headers={"Location": f"/sessions/{session.id}/statements/{statement.id}"},
        )

    async def show(self, request: Request) -> Response:
        accepts(request)
        until = asyncio.get_running_loop().time() + wait_s(request)
        session, seen, shown, ended = await run_in_threadpool(self._find, request)
        while not ended and (left := until - asyncio.get_running_loop().time()) > 0:
            await self._sessions.wakes.wait_async(session, seen, left)
            seen, shown, ended = await run_in_threadpool(self._look, session, shown["id"])
        return JSONResponse(shown)

    async def cancel(self, request: Request) -> Response:
        session = await self._session(request)
        wanted = statement_number(request)
        # Livy says so of a missing one as well.
        with contextlib.suppress(NotFound):
            await run_in_threadpool(self._sessions.cancel, session.id, wanted)
        return JSONResponse({"msg": "canceled"})

    async def _session(self, request: Request) -> Session:
        return await run_in_threadpool(found_session, self._sessions, request.path_params["key"])

    def _find(self, request: Request) -> tuple[int, int, dict[str, Any], bool]:
        """The session's id, and what `_look` finds: in one go, since each step beside the loop costs its own."""
        session = found_session(self._sessions, request.path_params["key"]).id
        return (session, *self._look(session, statement_number(request)))

    def _look(self, session: int, number: int) -> tuple[int, dict[str, Any], bool]:
        """How often the session had changed, the statement as JSON, and whether it has ended."""
        seen = self._sessions.wakes.count(session)
        statement = self._sessions.store.statement(session, number)
        return seen, self._json(statement), statement.state in FINAL

    def _kind(self, session: Session, asked: Any) -> str:
        named = session.kind if asked is None else asked
        kind = KINDS.get(named) if isinstance(named, str) else None
        if kind not in _RUNS:
            raise LivyRefusal(500, f"java.lang.IllegalArgumentException: nothing here runs {named}")
        return kind

    def _json(self, statement: Statement) -> dict[str, Any]:
        ended = statement.state in FINAL
        chunks = self._sessions.store.chunks(statement.session_id, statement.id, limit=_CHUNKS) if ended else []
        return statement_json(statement, chunks)
