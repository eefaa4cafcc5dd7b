"""Every session of this service: started, found again after a restart, spoken to, ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from nbplat.errors import NbplatError, NotFound, RemoteError, RequestError
from nbplat.session.live import LiveSession
from nbplat.session.ports import Drivers, SessionStore
from nbplat.session.records import Session, SessionDraft, Statement
from nbplat.session.states import ENDED, SessionState
from nbplat.session.wakes import Wakes

__all__ = ["Sessions"]

_LIVE = [state for state in SessionState if state not in ENDED]
_STOP_S = 3.0
_TOUCH_S = 5.0


class Sessions:
    """The facade of the area; safe between threads.

    Args:
        store: Where sessions are kept.
        drivers: Where their drivers run.
    """

    def __init__(self, store: SessionStore, drivers: Drivers) -> None:
        self.store = store
        self.wakes = Wakes()
        self._drivers = drivers
        self._lock = threading.Lock()
        self._live: dict[int, LiveSession] = {}
        self._touched: dict[int, float] = {}

    def recover(self) -> None:
        """Find the drivers of an earlier service again; to be called once, before anything else."""
        _, sessions = self.store.sessions(limit=1_000_000, states=_LIVE)
        for session in sessions:
            if session.state is SessionState.SHUTTING_DOWN:
                self._end(session)
            elif "pid" not in session.driver:
                self._launch(session)
            else:
                self._follow(session.id)

    def start(self, draft: SessionDraft) -> Session:
        """Keep a session and start its driver.

        Returns:
            The session, ``starting``, or ``error`` when its process could not be started.

        Raises:
            Conflict: a living session has the name.
            RequestError: ``session.text``: the name holds a character that cannot be kept.
        """
        _check_text("the name", draft.name)
        return self._launch(self.store.add_session(draft))

    def find(self, key: str) -> Session:
        """A session by id or, when `key` is not all digits, by name; counts as a sign of life of its user.

        Raises:
            NotFound: there is none.
        """
        if not _holds(key):
            raise NotFound("session.unknown", "no session has such a name", fix="list the sessions", where="?")
        session = self.store.session(int(key)) if key.isdecimal() else self.store.session_named(key)
        self.touch(session.id)
        return session

    def touch(self, session_id: int) -> None:
        """Note that somebody asked for it; written down every few seconds only."""
        now = time.monotonic()
        if now - self._touched.get(session_id, -_TOUCH_S) >= _TOUCH_S:
            self._touched[session_id] = now
            self.store.touch(session_id)

    def submit(self, session_id: int, code: str, kind: str, options: Mapping[str, Any] | None = None) -> Statement:
        """Keep a statement and have it run after those before it; it waits while the session starts.

        Args:
            options: As in `nbplat.session.records.Statement`.

        Raises:
            NotFound: no such session.
            Conflict: it has ended.
            RequestError: ``session.text``: the code holds a character that cannot be kept.
        """
        _check_text("the code", code)
        statement = self.store.add_statement(session_id, code, kind, options)
        self.touch(session_id)
        if (live := self._live.get(session_id)) is not None:
            # A line that just broke is opened again, and sends it then.
            with contextlib.suppress(RemoteError):
                live.send_open()
        return statement

    def cancel(self, session_id: int, statement_id: int) -> Statement:
        """Ask for the end of a statement; it is ``cancelled`` only when its code has really ended.

        Raises:
            NotFound: no such session or statement.
        """
        self.touch(session_id)
        found = self.store.statement(session_id, statement_id)
        if (live := self._live.get(session_id)) is not None:
            live.cancel(found.id)
        return self.store.statement(session_id, statement_id)

    def stubborn(self, session_id: int) -> set[int]:
        """Statements that run on though they were interrupted twice: only the end of the session ends them."""
        live = self._live.get(session_id)
        return set() if live is None else set(live.stubborn)

    def complete(self, session_id: int, code: str, cursor: int) -> dict[str, Any]:
        """What may follow at the cursor. Raises RemoteError while there is no driver to ask."""
        return self._ask(session_id, "complete", code=code, cursor=cursor)

    def inspect(self, session_id: int, code: str, cursor: int) -> dict[str, Any]:
        """What the name at the cursor is. Raises RemoteError while there is no driver to ask."""
        return self._ask(session_id, "inspect", code=code, cursor=cursor)

    def log(self, session_id: int, *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """How many lines the driver has logged, and some of them; see `nbplat.session.ports.Drivers.log`."""
        return self._drivers.log(self.store.session(session_id).driver, after=after, limit=limit)

    def delete(self, session_id: int) -> None:
        """End a session and forget it; returns when no process of it is left.

        Raises:
            NotFound: no such session.
        """
        session = self.store.session(session_id)
        if session.state not in ENDED:
            session = self.store.move_session(session_id, SessionState.SHUTTING_DOWN)
        self._end(session)

    def close(self) -> None:
        """Let go of every driver; they live on for the next service."""
        with self._lock:
            living = list(self._live.values())
            self._live.clear()
        for live in living:
            live.close()

    def _launch(self, session: Session) -> Session:
        try:
            driver = self._drivers.start(session)
        except NbplatError as exc:
            return self.store.move_session(session.id, SessionState.ERROR, reason=exc.record())
        self.store.set_driver(session.id, driver)
        started = self.store.move_session(session.id, SessionState.STARTING)
        self._follow(session.id)
        return started

    def _follow(self, session_id: int) -> None:
        live = LiveSession(session_id, self.store, self._drivers, changed=self.wakes.changed, ended=self._drop)
        with self._lock:
            self._live[session_id] = live
        live.start()

    def _drop(self, session_id: int) -> None:
        with self._lock:
            self._live.pop(session_id, None)

    def _end(self, session: Session) -> None:
        """Stop a driver kindly, then for good, and forget the session."""
        with self._lock:
            live = self._live.pop(session.id, None)
        if self._drivers.lives(session.driver):
            if live is not None:
                with contextlib.suppress(RemoteError):
                    live.line().ask("stop", limit_s=1.0)
                    self._await_end(session)
            self._drivers.kill(session.driver)
        if live is not None:
            live.close()
        self.store.remove_session(session.id)
        if session.driver:
            self._drivers.remove(session.driver)
        self.wakes.forget(session.id)
        self._touched.pop(session.id, None)

    def _await_end(self, session: Session) -> None:
        deadline = time.monotonic() + _STOP_S
        while self._drivers.lives(session.driver) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _ask(self, session_id: int, what: str, **values: Any) -> dict[str, Any]:
        self.touch(session_id)
        live = self._live.get(session_id)
        if live is None:
            state = self.store.session(session_id).state
            raise RemoteError("session.driver", f"session {session_id} is {state}", fix="start another session")
        return live.line().ask(what, limit_s=2.0, **values)


def _check_text(what: str, text: str) -> None:
    if not _holds(text):
        raise RequestError(
            "session.text",
            f"{what} holds a NUL character or half of a surrogate pair",
            fix="leave it out, or write it as an escape",
        )


def _holds(text: str) -> bool:
    """Whether every store can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
