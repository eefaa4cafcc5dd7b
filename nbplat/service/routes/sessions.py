"""Spark sessions: list, start, look, log, ask at the cursor, end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from nbplat.errors import RequestError
from nbplat.service.asker import asker
from nbplat.service.finding import native_session, sessions_page
from nbplat.service.routes import session_frames, statements
from nbplat.service.routes.polling import MAX_WAIT_S
from nbplat.service.session_records import profile_record, session_record
from nbplat.session.access import Need, read_access
from nbplat.session.files import bad_file
from nbplat.session.profiles import Profiles
from nbplat.session.records import SessionDraft
from nbplat.session.session_request import read_start
from nbplat.session.sessions import Sessions
from nbplat.session.states import ENDED, SessionState

__all__ = ["Cursor", "SessionStart", "router"]

_COUNT = Annotated[int, Field(ge=1, le=100_000)]
_ROUND_S = 0.5
_STARTING = frozenset({SessionState.NOT_STARTED, SessionState.STARTING, SessionState.RECOVERING})


class SessionStart(BaseModel):
    """What a session is started with; memory as ``2g``."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    kind: str = "pyspark"
    conf: dict[str, str] = Field(default_factory=dict)
    driver_memory: str | None = None
    driver_cores: _COUNT | None = None
    executor_memory: str | None = None
    executor_cores: _COUNT | None = None
    num_executors: _COUNT | None = None
    queue: str | None = None
    jars: list[str] = Field(default_factory=list)
    py_files: list[str] = Field(default_factory=list)
    files: list[str] = Field(default_factory=list)
    archives: list[str] = Field(default_factory=list)
    ttl: str | None = Field(default=None, description="age at which it ends: 8h")
    idle_timeout: str | None = Field(default=None, description="ends it when nobody has used it for so long: 30m")
    master: str | None = Field(default=None, description="refused: where sessions run is the platform's word")
    environment: str | None = Field(default=None, description="name of a built environment")
    profile: str | None = Field(default=None, description="one of /api/v1/session-profiles; None: the site's default")


class Access(BaseModel):
    """Names of users, or ``*``; whoever may use it may look at it."""

    model_config = ConfigDict(extra="forbid")

    view: list[str] = Field(default_factory=list)
    use: list[str] = Field(default_factory=list)


class Cursor(BaseModel):
    """A place in code; `cursor` counts characters, None is its end."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=1_000_000)
    cursor: Annotated[int, Field(ge=0)] | None = None

    def at(self) -> int:
        return len(self.code) if self.cursor is None else min(self.cursor, len(self.code))


def router(
    sessions: Sessions,
    draft: Callable[[dict[str, Any], str], SessionDraft],
    refusal: Callable[[str], str | None] = lambda _: None,
    profiles: Profiles | None = None,
) -> APIRouter:
    """The routes under ``/api/v1/sessions``.

    Args:
        draft: Makes a draft of a checked request and its owner.
        refusal: Why a file must not be taken; None: it may.
        profiles: The site's; None: there are none.
    """
    every = APIRouter()
    routes = APIRouter(prefix="/api/v1/sessions", tags=["sessions"])

    def found(key: str) -> int:
        # Reading routes need to look, all others to use.
        return find(sessions, key)

    @routes.get("")
    def list_sessions(
        skip: Annotated[int, Query(ge=0, le=1 << 40)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """Sessions in order of id, those that have ended included until they are deleted."""
        total, page = sessions_page(sessions, skip=skip, limit=limit)
        return {"total": total, "sessions": [session_record(session) for session in page]}

    @routes.post("", status_code=201)
    def start(request: SessionStart) -> dict[str, Any]:
        """Start a session; it takes statements at once and runs them when it is ready."""
        fields = read_start(request.model_dump())
        if found := bad_file(fields, refusal):
            raise RequestError(
                "session.file",
                found.why,
                fix="take a file of your own, or one below session.batch_roots",
                where=found.where,
            )
        return session_record(sessions.start(draft(fields, asker().name)), conf=True)

    @routes.get("/{key}")
    def show(key: str) -> dict[str, Any]:
        """A session by id or name, with each Spark setting and who said it."""
        return session_record(sessions.store.session(found(key)), conf=True)

    @routes.get("/{key}/wait")
    async def wait(
        request: Request, key: str, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = MAX_WAIT_S
    ) -> dict[str, Any]:
        """The session once it has started (or failed to), or as it is after `wait_s`."""
        number = await run_in_threadpool(found, key)
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            seen = sessions.wakes.count(number)
            session = await run_in_threadpool(sessions.store.session, number)
            left = until - asyncio.get_running_loop().time()
            if session.state not in _STARTING or left <= 0 or request.app.state.stopping():
                return session_record(session)
            await sessions.wakes.wait_async(number, seen, min(left, _ROUND_S))

    @routes.delete("/{key}")
    def delete(key: str) -> dict[str, Any]:
        """End a session and forget it, with everything that it started."""
        number = find(sessions, key, Need.OWN)
        sessions.delete(number)
        return {"deleted": number}

    @routes.put("/{key}/access")
    def let_in(key: str, request: Access) -> dict[str, Any]:
        """Say who besides the owner may look at a session, or use it; replaces what was said before."""
        access = read_access(request.model_dump())
        return session_record(sessions.store.amend(find(sessions, key, Need.OWN), {"access": access}))

    @routes.get("/{key}/log")
    def log(
        key: str,
        after: Annotated[int, Query(ge=-100_000, le=1 << 40)] = -100,
        limit: Annotated[int, Query(ge=1, le=100_000)] = 100,
    ) -> dict[str, Any]:
        """Lines of the driver's log from line `after` (counted from 0); negative: the last ones."""
        total, lines = sessions.log(found(key), after=after, limit=limit)
        return {"total": total, "lines": lines}

    @routes.post("/{key}/complete")
    def complete(key: str, request: Cursor) -> dict[str, Any]:
        """What may follow at the cursor; answered beside a running statement."""
        return _live(sessions, found(key)).complete(found(key), request.code, request.at())

    @routes.post("/{key}/inspect")
    def inspect(key: str, request: Cursor) -> dict[str, Any]:
        """What the name at the cursor is; answered beside a running statement."""
        return _live(sessions, found(key)).inspect(found(key), request.code, request.at())

    @every.get("/api/v1/session-profiles", tags=["sessions"])
    def list_profiles() -> dict[str, Any]:
        """The profiles that the asker may use: what each sets, and what a request may change of it."""
        known = profiles.for_user(asker()) if profiles is not None else []
        default = profiles.default if profiles is not None else ""
        return {"default": default, "profiles": [profile_record(profile) for profile in known]}

    routes.include_router(statements.router(sessions, found))
    routes.include_router(session_frames.router(sessions, found))
    every.include_router(routes)
    return every


def find(sessions: Sessions, key: str, need: Need | None = None) -> int:
    """The id of a session by id or name; as `nbplat.service.finding.native_session`."""
    return native_session(sessions, key, need).id


def _live(sessions: Sessions, number: int) -> Sessions:
    session = sessions.store.session(number)
    if session.state in ENDED:
        raise RequestError(
            "session.ended",
            f"session {number} is {session.state}",
            fix="start another: %session start",
            where=str(number),
        )
    return sessions
