"""Statements of a session: run, list, look, cancel, and what they print as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from nbplat.errors import NotFound, RequestError
from nbplat.service.routes.polling import MAX_WAIT_S
from nbplat.service.session_records import piece_record, statement_record
from nbplat.session.records import Chunk, Statement
from nbplat.session.results import TAKE_KIND, rows_described
from nbplat.session.sessions import Sessions
from nbplat.session.states import FINAL

__all__ = ["StatementStart", "router"]

_ARROW = "application/vnd.apache.arrow.stream"
_ROUND_S = 0.5
_QUIET_S = 10.0
_PIECES = 500
_CODE_CHARS = 8 << 20
_JSON_ROWS = 1_000_000
_SEQ = Annotated[int, Query(ge=0, le=1 << 60)]
_NUMBER_MAX = (1 << 60) - 1


class StatementStart(BaseModel):
    """A statement: `code` as Python, SQL or Scala (``spark``), or with `take` the name of a DataFrame of the session.

    `rows`: at most so many. `exact`: rows of SQL as JSON that keeps their types. `arrow` (and `take`): rows as pages of
    Arrow, asked for with ``/rows``; `bytes`: the result ends when it has reached so many.
    """

    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=_CODE_CHARS)
    kind: Literal["pyspark", "sql", "spark", "take"] | None = None
    rows: Annotated[int, Field(ge=0, le=1 << 40)] | None = None
    exact: bool = False
    arrow: bool = False
    bytes: Annotated[int, Field(ge=1, le=1 << 50)] | None = None


def router(sessions: Sessions, found: Callable[[str], int]) -> APIRouter:
    """The routes under ``/{key}/statements``.

    Args:
        found: The id of a session by id or name.
    """
    routes = APIRouter(prefix="/{key}/statements")
    follow = _Follow(sessions)

    def record(statement: Statement) -> dict[str, Any]:
        return statement_record(statement, sessions.stubborn(statement.session_id))

    def one(key: str, number: int) -> Statement:
        session = found(key)
        if not 0 <= number <= _NUMBER_MAX:
            raise NotFound(
                "session.statement", f"session {session} has no statement {number}", fix="list its statements"
            )
        return sessions.store.statement(session, number)

    @routes.get("")
    def list_statements(
        key: str,
        skip: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        newest_first: bool = False,
    ) -> dict[str, Any]:
        """Statements in order, or newest first; without the jobs of Livy's clients."""
        total, page = sessions.store.statements(
            found(key), skip=skip, limit=limit, newest_first=newest_first, jobs=False
        )
        return {"total": total, "statements": [record(statement) for statement in page]}

    @routes.post("", status_code=201)
    def run(key: str, request: StatementStart) -> dict[str, Any]:
        """Keep a statement; it runs after those before it."""
        session = sessions.store.session(found(key))
        kind = request.kind or (session.kind if session.kind in ("sql", "spark") else "pyspark")
        if kind == TAKE_KIND or (kind == "sql" and request.arrow):
            asked = sessions.query(session.id, request.code, kind, rows=request.rows, size_bytes=request.bytes)
            return record(asked)
        if (request.rows or 0) > _JSON_ROWS:
            raise RequestError(
                "session.rows",
                f"{request.rows:,} rows are too many for JSON, which takes {_JSON_ROWS:,}",
                fix="ask for arrow",
                where="rows",
            )
        options = {"rows": request.rows, "exact": request.exact or None}
        given = {name: value for name, value in options.items() if value is not None}
        return record(sessions.submit(session.id, request.code, kind, given))

    @routes.get("/{number}")
    def show(key: str, number: int) -> dict[str, Any]:
        """One statement with its output, without what it printed."""
        return record(one(key, number))

    @routes.get("/{number}/rows")
    def rows(key: str, number: int) -> dict[str, Any]:
        """What its rows come to: ``rows``, ``bytes``, ``pages`` (rows and bytes of each), ``more`` and ``limited``."""
        statement = one(key, number)
        return rows_described(statement.output, statement.session_id, statement.id)

    @routes.get(
        "/{number}/rows/{page}",
        response_class=FileResponse,
        responses={200: {"content": {_ARROW: {}}, "description": "an Arrow IPC stream; ranges of bytes are served"}},
    )
    def rows_page(key: str, number: int, page: Annotated[int, Path(ge=0, le=1 << 40)]) -> FileResponse:
        """One page of its rows, by its place from 0; it is there as soon as it is written."""
        statement = one(key, number)
        return FileResponse(sessions.page(statement.session_id, statement.id, page), media_type=_ARROW)

    @routes.post("/{number}/cancel")
    def cancel(key: str, number: int) -> dict[str, Any]:
        """Interrupt it; it is ``cancelled`` when its code has really ended."""
        statement = one(key, number)
        return record(sessions.cancel(statement.session_id, statement.id))

    @routes.get("/{number}/output")
    async def output(
        request: Request,
        key: str,
        number: int,
        after: _SEQ = 0,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0,
    ) -> dict[str, Any]:
        """What it printed and displayed after piece `after`; waits up to `wait_s` for more while it runs."""
        statement = await run_in_threadpool(one, key, number)
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            seen = sessions.wakes.count(statement.session_id)
            statement, pieces = await follow.look(statement, after)
            left = until - asyncio.get_running_loop().time()
            if pieces or statement.state in FINAL or left <= 0 or request.app.state.stopping():
                last = pieces[-1].seq if pieces else after
                shown = [piece_record(piece) for piece in pieces]
                return {"pieces": shown, "next_after": last, "statement": record(statement)}
            await sessions.wakes.wait_async(statement.session_id, seen, min(left, _ROUND_S))

    @routes.get(
        "/{number}/stream",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "Server-Sent Events"}},
    )
    async def stream(
        request: Request,
        key: str,
        number: int,
        after: _SEQ = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """The statement as Server-Sent Events that end with it.

        ``stdout`` and ``stderr`` (``text``), ``display`` (``data``), each with its number as id; ``state`` and
        ``progress`` when they change; ``done`` with the statement, the last one; ``error`` when it is gone.
        `after` or the header ``Last-Event-ID`` leaves out what was told before.
        """
        statement = await run_in_threadpool(one, key, number)
        told = last_event_id or ""
        begin = max(after, int(told) if told.isdecimal() and len(told) < 19 else 0)
        events = follow.events(statement, begin, request.app.state.stopping, record)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return routes


class _Follow:
    """Looks at a statement whenever its session changes."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def look(self, statement: Statement, after: int) -> tuple[Statement, list[Chunk]]:
        """The statement and what it printed since; one that has ended here has printed all."""
        store = self._sessions.store

        def read() -> tuple[Statement, list[Chunk]]:
            # In this order: whatever was printed before the end is in the store with it.
            fresh = store.statement(statement.session_id, statement.id)
            return fresh, store.chunks(fresh.session_id, fresh.id, after=after, limit=_PIECES)

        return await run_in_threadpool(read)

    async def events(
        self,
        statement: Statement,
        after: int,
        stopping: Callable[[], bool],
        record: Callable[[Statement], dict[str, Any]],
    ) -> AsyncIterator[str]:
        told: dict[str, Any] = {}
        quiet_since = asyncio.get_running_loop().time()
        while not stopping():
            seen = self._sessions.wakes.count(statement.session_id)
            try:
                statement, pieces = await self.look(statement, after)
            except NotFound as exc:
                yield _event("error", exc.record())
                return
            shown = record(statement)
            said = [_event(piece.name, piece_record(piece), piece.seq) for piece in pieces]
            after = pieces[-1].seq if pieces else after
            state = {"state": shown["state"], "stubborn": shown["stubborn"]}
            for name, value in (("state", state), ("progress", shown["progress"])):
                if told.get(name) != value and not shown["ended"]:
                    told[name] = value
                    said.append(_event(name, value))
            if said:
                yield "".join(said)
                quiet_since = asyncio.get_running_loop().time()
            if shown["ended"] and len(pieces) < _PIECES:
                yield _event("done", shown)
                return
            if len(pieces) == _PIECES:
                continue
            await self._sessions.wakes.wait_async(statement.session_id, seen, _ROUND_S)
            if asyncio.get_running_loop().time() - quiet_since > _QUIET_S:
                # A reader's own limit must not end a quiet statement; and a reader that has gone is found out.
                yield ": alive\n\n"
                quiet_since = asyncio.get_running_loop().time()


def _event(name: str, data: dict[str, Any], seq: int | None = None) -> str:
    number = f"id: {seq}\n" if seq is not None else ""
    return f"event: {name}\n{number}data: {json.dumps(data)}\n\n"
