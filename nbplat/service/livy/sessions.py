"""Sessions: list, start, look, log, end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbplat.service.finding import found_session, sessions_page
from nbplat.service.livy.drafting import drafted, taken_files
from nbplat.service.livy.owner import Impersonation, owner_of, proxy_user_of
from nbplat.service.livy.reading import accepts, body_of, log_range, page_of, wait_s
from nbplat.session.access import Need
from nbplat.session.livy_reply import session_json
from nbplat.session.livy_request import KINDS, read_session_request
from nbplat.session.records import Session, SessionDraft
from nbplat.session.sessions import Sessions
from nbplat.session.states import SessionState

__all__ = ["SessionRoutes"]

_LOG_LINES = 10
_INTERRUPTED = {
    "code": "session.interrupted",
    "message": "the session was interrupted, which ends it in Livy's protocol",
    "fix": "cancel a statement to keep its session",
    "tail": [],
}
_MOVING = frozenset({SessionState.NOT_STARTED, SessionState.STARTING, SessionState.RECOVERING, SessionState.BUSY})


class SessionRoutes:
    """Routes of ``/sessions``.

    Args:
        draft: Makes a draft of a checked request and its owner.
        refusal: Why a file must not be taken; None: it may.
    """

    def __init__(
        self,
        sessions: Sessions,
        draft: Callable[[dict[str, Any], str], SessionDraft],
        refusal: Callable[[str], str | None],
        impersonation: Impersonation,
    ) -> None:
        self._sessions = sessions
        self._draft = draft
        self._refusal = refusal
        self._impersonation = impersonation

    def routes(self) -> list[Route]:
        one = "/sessions/{key}"
        return [
            Route("/sessions", self.list_sessions, methods=["GET"]),
            Route("/sessions", self.start, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/state", self.state, methods=["GET"]),
            Route(f"{one}/log", self.log, methods=["GET"]),
            Route(f"{one}/connect", self.connect, methods=["POST"]),
            Route(f"{one}/interrupt", self.interrupt, methods=["POST"]),
            Route(f"{one}/completion", self.completion, methods=["POST"]),
        ]

    async def list_sessions(self, request: Request) -> Response:
        accepts(request)
        start, size = page_of(request)
        total, found = await run_in_threadpool(sessions_page, self._sessions, skip=start, limit=size)
        shown = [await run_in_threadpool(self._json, session) for session in found]
        return JSONResponse({"from": start, "total": total, "sessions": shown})

    async def start(self, request: Request) -> Response:
        fields = read_session_request(await body_of(request))
        proxy_user = proxy_user_of(request, fields, self._impersonation)
        await run_in_threadpool(taken_files, fields, self._refusal)
        draft = await run_in_threadpool(drafted, self._draft, fields, owner_of(request))
        session = await run_in_threadpool(self._sessions.start, replace(draft, proxy_user=proxy_user))
        shown = await run_in_threadpool(self._json, session)
        return JSONResponse(shown, status_code=201, headers={"Location": f"/sessions/{session.id}"})

    async def show(self, request: Request) -> Response:
        accepts(request)
        session, seen, shown = await run_in_threadpool(self._look, request.path_params["key"])
        if shown is None:
            # Clients ask again after a pause of their own: an answer that comes with the change spares it.
            session = await self._held(session, seen, wait_s(request))
            shown = await run_in_threadpool(self._json, session)
        return JSONResponse(shown)

    async def state(self, request: Request) -> Response:
        session = await self._found(request)
        return JSONResponse({"id": session.id, "state": session.state.value})

    async def log(self, request: Request) -> Response:
        session = await self._found(request)
        wanted = log_range(request)
        total, lines = await run_in_threadpool(self._sessions.log, session.id, after=wanted.after, limit=wanted.limit)
        first = wanted.first(total, len(lines))
        return JSONResponse({"id": session.id, "from": first, "total": total, "log": lines})

    async def delete(self, request: Request) -> Response:
        session = await self._found(request, Need.OWN)
        await run_in_threadpool(self._sessions.delete, session.id)
        return JSONResponse({"msg": "deleted"})

    async def connect(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._json, await self._found(request)))

    async def interrupt(self, request: Request) -> Response:
        session = await self._found(request, Need.OWN)
        await run_in_threadpool(self._sessions.end, session.id, _INTERRUPTED)
        return JSONResponse({"msg": "interrupted"})

    async def completion(self, request: Request) -> Response:
        session = await self._found(request)
        body = await body_of(request)
        code = str(body.get("code") or "")
        cursor = body.get("cursor")
        at = cursor if isinstance(cursor, int) else len(code)
        kind = KINDS.get(str(body.get("kind")), "")
        found = await run_in_threadpool(self._sessions.complete, session.id, code, at, kind)
        return JSONResponse({"candidates": found["matches"]})

    async def _found(self, request: Request, need: Need | None = None) -> Session:
        return await run_in_threadpool(found_session, self._sessions, request.path_params["key"], need)

    def _look(self, key: str) -> tuple[Session, int, dict[str, Any] | None]:
        """A session, how often it had changed before, and its JSON; None while it moves."""
        session = found_session(self._sessions, key)
        if session.state not in _MOVING:
            return session, 0, self._json(session)
        seen = self._sessions.wakes.count(session.id)
        session = self._sessions.store.session(session.id)
        return session, seen, None if session.state in _MOVING else self._json(session)

    async def _held(self, session: Session, seen: int, limit_s: float) -> Session:
        before = session.state
        loop_until = _now() + limit_s
        while session.state is before and (left := loop_until - _now()) > 0:
            await self._sessions.wakes.wait_async(session.id, seen, left)
            seen = self._sessions.wakes.count(session.id)
            session = await run_in_threadpool(self._sessions.store.session, session.id)
        return session

    def _json(self, session: Session) -> dict[str, Any]:
        log = self._sessions.log_of(session, after=-_LOG_LINES, limit=_LOG_LINES)[1]
        return session_json(session, log)


def _now() -> float:
    import asyncio

    return asyncio.get_running_loop().time()
