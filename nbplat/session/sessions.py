"""Every session of this service: started, found again after a restart, spoken to, ended."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbplat.clock import Clock, SystemClock
from nbplat.errors import Conflict, NbplatError, NotFound, RemoteError, RequestError
from nbplat.session.keys import holds, number_of
from nbplat.session.life import Limits, over_ttl, unused_reason
from nbplat.session.live import LiveSession
from nbplat.session.ports import Drivers, SessionStore
from nbplat.session.records import Session, SessionDraft, Statement
from nbplat.session.results import PUT_KIND, page_gone
from nbplat.session.states import ENDED, SessionState
from nbplat.session.tenure import Tenure
from nbplat.session.use import Use
from nbplat.session.wakes import Wakes

__all__ = ["Sessions"]

_log = logging.getLogger("nbplat.session")

_LIVE = [state for state in SessionState if state not in ENDED]
_STOP_S = 3.0
_WATCH_S = 5.0


class Sessions:
    """The facade of the area; safe between threads.

    Args:
        store: Where sessions are kept.
        drivers: Where their drivers run.
        clock: The store's.
        on_close: Called when the service lets go of its drivers.
        warm: Tells how many drivers are kept warm, by how far they are.
        tenure: Where other services may share the store; None: this one has it for itself.
    """

    def __init__(
        self,
        store: SessionStore,
        drivers: Drivers,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        on_close: Callable[[], None] = lambda: None,
        warm: Callable[[], Mapping[str, int]] = dict,
        tenure: Tenure | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.limits = limits or Limits()
        self._closing = threading.Event()
        self.wakes = Wakes()
        self._drivers = drivers
        self._on_close = on_close
        self.warm = warm
        self._tenure = tenure
        self._lost = False
        self._lock = threading.Lock()
        self._live: dict[int, LiveSession] = {}
        self._use = Use(store, self.clock)

    def recover(self) -> None:
        """Find the drivers of an earlier service again; to be called once, before anything else."""
        self._lost = self._tenure is not None and not self._tenure.hold()
        if not self._lost:
            for session in self._every_living():
                if self._is_ours(session):
                    self._adopt(session)

    def keep_tenure(self) -> None:
        """Show that this service lives, let go of what another took over, and take over what nobody drives."""
        if self._tenure is None:
            return
        if not self._tenure.hold():
            _log.warning("another service took over the sessions of %s", self._tenure.service)
            self._lost = True
            self._let_go()
            return
        if self._lost:
            self.recover()
        others = [session for session in self._every_living() if not self._is_ours(session)]
        for service in sorted({str(session.request["service"]) for session in others}):
            theirs = [one for one in others if one.request["service"] == service and self._tenure.reaches(one)]
            if not theirs:
                continue
            with self._tenure.taking_over(service) as taken:
                for session in theirs if taken else ():
                    _log.info("session %d: taken over from %s", session.id, service)
                    self._adopt(self.store.amend(session.id, self._tenure.marks()))

    def _every_living(self) -> list[Session]:
        return self.store.sessions(limit=1_000_000, states=_LIVE)[1]

    def _is_ours(self, session: Session) -> bool:
        return self._tenure is None or self._tenure.drives(session)

    def _check_ours(self, session: Session) -> None:
        if session.state not in ENDED and not self._is_ours(session):
            raise Conflict(
                "session.elsewhere",
                f"session {session.id} is driven by another service, {session.request['service']}",
                fix="send it there; when that service is gone, another one on its host takes over within a minute",
                where=str(session.id),
            )

    def _adopt(self, session: Session) -> None:
        try:
            self._recover(session)
        except NbplatError as exc:
            # A cluster or a server that is away must not keep the others from their service.
            _log.warning("session %d: %s", session.id, exc)

    def _recover(self, session: Session) -> None:
        if session.state is SessionState.SHUTTING_DOWN and session.reason is None:
            self._end(session)
        elif session.state is SessionState.SHUTTING_DOWN:
            self._drivers.kill(session.driver)
            self._follow(session.id)
        elif "pid" not in session.driver:
            self._launch(session)
        else:
            self._follow(session.id)

    def start(self, draft: SessionDraft) -> Session:
        """Keep a session and start its driver.

        Returns:
            The session, ``starting``, or ``error`` when its process could not be started.

        Raises:
            Conflict: a living session has the name, or there are as many as there may be.
            RequestError: ``session.text``: the name holds a character that cannot be kept.
        """
        _check_text("the name", draft.name)
        if self._tenure is not None:
            draft = replace(draft, request={**draft.request, **self._tenure.marks()})
        return self._launch(self.store.add_session(draft, self.limits.caps))

    def find(self, key: str) -> Session:
        """A session by id or, when `key` is not all digits, by name; counts as a sign of life of its user.

        Raises:
            NotFound: there is none.
        """
        session = self.named(key)
        self.touch(session.id)
        return session

    def named(self, key: str) -> Session:
        """As `find`, without a sign of life. Raises NotFound."""
        if not holds(key):
            raise NotFound("session.unknown", "no session has such a name", fix="list the sessions", where="?")
        number = number_of(key)
        return self.store.session_named(key) if number is None else self.store.session(number)

    def touch(self, session_id: int) -> None:
        """Note that somebody asked for it; written down every few seconds only."""
        self._use.touch(session_id)

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
        self._check_reach(session_id)
        statement = self.store.add_statement(session_id, code, kind, options)
        self._forget_old(session_id, statement.id)
        self.touch(session_id)
        if (live := self._live.get(session_id)) is not None:
            # A line that just broke is opened again, and sends it then.
            with contextlib.suppress(RemoteError):
                live.send_open()
        return statement

    def query(
        self, session_id: int, code: str, kind: str, *, rows: int | None = None, size_bytes: int | None = None
    ) -> Statement:
        """Have a query (``sql``) run, or a DataFrame of the session (``take``) fetched, and keep its rows as Arrow.

        Args:
            code: The query, or the DataFrame's name.
            rows: At most so many; None: as many as there are.
            size_bytes: The result ends when it has reached so many bytes; None, and at most: what the site allows.

        Raises:
            As `submit`.
        """
        limits = self.limits
        options = {
            "arrow": True,
            "rows": rows,
            "bytes": min(size_bytes or limits.result_bytes, limits.result_bytes),
            "keep_bytes": limits.kept_result_bytes,
        }
        return self.submit(
            session_id, code, kind, {name: value for name, value in options.items() if value is not None}
        )

    def page(self, session_id: int, statement_id: int, page: int) -> Path:
        """The file of a page of a statement's rows, an Arrow IPC stream.

        Raises:
            NotFound: no such session, or no such page (any more).
        """
        driver = self.store.session(session_id).driver
        found = self._drivers.page(driver, statement_id, page) if driver else None
        if found is None:
            raise page_gone(session_id, statement_id, page)
        return found

    def new_frame(self, session_id: int) -> Path:
        """A file that a DataFrame for a session is written to, before `put`.

        Raises:
            Conflict: the session has ended.
            RemoteError: its driver has not been started yet.
        """
        session = self.store.session(session_id)
        if session.state in ENDED:
            raise session_ended(session)
        if "folder" not in session.driver:
            raise RemoteError("session.driver", f"session {session_id} is not ready yet", fix="wait until it is idle")
        return self._drivers.new_frame(session.driver)

    def put(self, session_id: int, name: str, file: Path, *, view: bool = False) -> Statement:
        """Bind the DataFrame of a file of `new_frame` to a name, in its turn among the statements.

        Args:
            view: Also make it a temporary view, for SQL.

        Raises:
            As `submit`.
        """
        return self.submit(session_id, name, PUT_KIND, {"file": file.name, "view": view})

    def cancel(self, session_id: int, statement_id: int) -> Statement:
        """Ask for the end of a statement; it is ``cancelled`` only when its code has really ended.

        Raises:
            NotFound: no such session or statement.
        """
        self._check_reach(session_id)
        self.touch(session_id)
        found = self.store.statement(session_id, statement_id)
        if (live := self._live.get(session_id)) is not None:
            live.cancel(found.id)
        return self.store.statement(session_id, statement_id)

    def stubborn(self, session_id: int) -> set[int]:
        """Statements that run on though they were interrupted twice: only the end of the session ends them."""
        live = self._live.get(session_id)
        return set() if live is None else set(live.stubborn)

    def complete(self, session_id: int, code: str, cursor: int, kind: str = "") -> dict[str, Any]:
        """What may follow at the cursor. Raises RemoteError while there is no driver to ask.

        Args:
            kind: Language of the code; empty: the session's.
        """
        runner = "scala" if (kind or self.store.session(session_id).kind) == "spark" else "python"
        return self._ask(session_id, "complete", code=code, cursor=cursor, runner=runner)

    def inspect(self, session_id: int, code: str, cursor: int) -> dict[str, Any]:
        """What the name at the cursor is. Raises RemoteError while there is no driver to ask."""
        return self._ask(session_id, "inspect", code=code, cursor=cursor)

    def folder(self, session_id: int) -> str:
        """Its folder, which its driver sees too. Raises RemoteError while there is no driver to give files to."""
        self._living(session_id).line()
        return str(self.store.session(session_id).driver["folder"])

    def add(self, session_id: int, kind: str, uri: str) -> None:
        """Give a session a ``jar``, ``pyfile`` or ``file``. Raises RemoteError while there is no driver to take it."""
        self._ask(session_id, "add", limit_s=60.0, kind=kind, uri=uri)

    def log(self, session_id: int, *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """How many lines the driver has logged, and some of them; see `nbplat.session.ports.Drivers.log`."""
        return self.log_of(self.store.session(session_id), after=after, limit=limit)

    def log_of(self, session: Session, *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """As `log`, of one that has been read."""
        return self._drivers.log(session.driver, after=after, limit=limit)

    def delete(self, session_id: int) -> None:
        """End a session and forget it; returns when no process of it is left.

        Raises:
            NotFound: no such session.
        """
        session = self.store.session(session_id)
        self._check_ours(session)
        if session.state not in ENDED:
            session = self.store.move_session(session_id, SessionState.SHUTTING_DOWN)
        self._end(session)

    def end(self, session_id: int, reason: Mapping[str, Any]) -> None:
        """End a session and keep it listed with the reason; nothing happens to one that has ended.

        Raises:
            NotFound: there is none.
        """
        self._check_reach(session_id)
        session = self.store.move_session(session_id, SessionState.SHUTTING_DOWN, reason=reason)
        if session.state in ENDED:
            return
        with self._lock:
            live = self._live.get(session_id)
        self._stop_driver(session, live)
        if live is None:
            self.store.move_session(session_id, SessionState.DEAD, reason=reason)
        else:
            # It takes what the driver left and says the end.
            live.join(_STOP_S)

    def watch(self, *also: Callable[[], None]) -> None:
        """Look after the sessions from now on, until `close`.

        Args:
            also: Called at each look.
        """
        threading.Thread(target=self._watch, args=(also,), name="session watch", daemon=True).start()

    def look(self) -> None:
        """End the sessions that lived long enough, and forget those that ended long ago."""
        self._use.notice_sleep()
        now_ms = self.clock.now_ms()
        for session in self.store.sessions(limit=1_000_000)[1]:
            if session.state in ENDED:
                if now_ms - (session.ended_ms or 0) > self.limits.keep_s * 1000:
                    self._end(session)
            elif not self._is_ours(session):
                continue
            elif reason := over_ttl(session, now_ms) or self._unused(session, now_ms):
                _log.info("session %d: %s", session.id, reason["message"])
                self.end(session.id, reason)

    def close(self) -> None:
        """Let go of every driver; they live on for the next service."""
        self._closing.set()
        self._let_go()
        if self._tenure is not None:
            self._tenure.let_go()
        self._drivers.close()
        self._on_close()

    def _let_go(self) -> None:
        with self._lock:
            living = list(self._live.values())
            self._live.clear()
        for live in living:
            live.close()

    def _check_reach(self, session_id: int) -> None:
        """Raises Conflict: ``session.elsewhere``: another service drives it."""
        if self._tenure is not None and session_id not in self._live:
            self._check_ours(self.store.session(session_id))

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
        live = LiveSession(
            session_id, self.store, self._drivers, limits=self.limits, changed=self._worked, ended=self._drop
        )
        with self._lock:
            self._live[session_id] = live
        live.start()

    def _worked(self, session_id: int) -> None:
        self._use.worked(session_id)
        self.wakes.changed(session_id)

    def _forget_old(self, session_id: int, newest: int) -> None:
        """Now and then: a statement that is over the limit for a while costs nothing."""
        keep = self.limits.keep_statements
        if newest < keep or newest % max(1, keep // 10):
            return
        gone = self.store.forget_statements(session_id, keep)
        driver = self.store.session(session_id).driver
        if gone and driver:
            self._drivers.drop_rows(driver, gone)

    def _drop(self, session_id: int) -> None:
        with self._lock:
            self._live.pop(session_id, None)

    def _end(self, session: Session) -> None:
        """Stop a driver kindly, then for good, and forget the session."""
        with self._lock:
            live = self._live.pop(session.id, None)
        self._stop_driver(session, live)
        if live is not None:
            live.close()
        self.store.remove_session(session.id)
        if session.driver:
            self._drivers.remove(session.driver)
        self.wakes.forget(session.id)
        self._use.forget(session.id)

    def _stop_driver(self, session: Session, live: LiveSession | None) -> None:
        if self._drivers.lives(session.driver):
            if live is not None:
                with contextlib.suppress(RemoteError):
                    live.line().ask("stop", limit_s=1.0)
                    self._await_end(session)
            self._drivers.kill(session.driver)

    def _watch(self, also: tuple[Callable[[], None], ...]) -> None:
        while not self._closing.wait(_WATCH_S):
            for look in (self.keep_tenure, self.look, *also):
                try:
                    look()
                except NbplatError as exc:
                    _log.warning("session watch: %s", exc)
                except Exception:  # noqa: BLE001 - logged; the next look may go better
                    _log.exception("session watch")

    def _unused(self, session: Session, now_ms: int) -> dict[str, Any] | None:
        reason = unused_reason(session, self._use.unused_ms(session, now_ms), self.limits)
        if reason is not None and self.store.open_statements(session.id):
            return None
        return reason

    def _await_end(self, session: Session) -> None:
        deadline = time.monotonic() + _STOP_S
        while self._drivers.lives(session.driver) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _ask(self, session_id: int, what: str, *, limit_s: float = 2.0, **values: Any) -> dict[str, Any]:
        self.touch(session_id)
        return self._living(session_id).line().ask(what, limit_s=limit_s, **values)

    def _living(self, session_id: int) -> LiveSession:
        live = self._live.get(session_id)
        if live is None:
            session = self.store.session(session_id)
            self._check_ours(session)
            state = session.state
            raise RemoteError("session.driver", f"session {session_id} is {state}", fix="start another session")
        return live


def session_ended(session: Session) -> Conflict:
    """A session that has ended takes nothing."""
    return Conflict(
        "session.ended",
        f"session {session.id} is {session.state}",
        fix="start another: %session start",
        where=str(session.id),
    )


def _check_text(what: str, text: str) -> None:
    if not holds(text):
        raise RequestError(
            "session.text",
            f"{what} holds a NUL character or half of a surrogate pair",
            fix="leave it out, or write it as an escape",
        )
