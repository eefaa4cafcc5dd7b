"""One living session: a thread that keeps a line to its driver and writes down what it tells."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from nbplat.errors import NbplatError, NotFound, RemoteError
from nbplat.session.changes import changes_of
from nbplat.session.endings import death_reason, lost_output
from nbplat.session.jobs import JOB_KIND
from nbplat.session.life import Limits
from nbplat.session.ports import Driver, Drivers, SessionStore
from nbplat.session.results import PUT_KIND, TAKE_KIND
from nbplat.session.states import ENDED, SessionState, StatementState

__all__ = ["LiveSession"]

_log = logging.getLogger("nbplat.session")

_RUNNERS = {"sql": "sql", "spark": "scala", JOB_KIND: "job", TAKE_KIND: "take", PUT_KIND: "put"}
_AGAIN_S = 0.05
_SLOWER_S = 1.0
_FORGET_EVERY = 2000


class LiveSession:
    """Follows one driver until it ends or `close` is called.

    Args:
        limits: What its statements may do.
        changed: Called after the store has changed.
        ended: Called once when the driver has ended and the store says so.
    """

    def __init__(
        self,
        session_id: int,
        store: SessionStore,
        drivers: Drivers,
        *,
        limits: Limits,
        changed: Callable[[int], None],
        ended: Callable[[int], None],
    ) -> None:
        self.session_id = session_id
        self._store = store
        self._drivers = drivers
        self._limits = limits
        self._changed = changed
        self._ended = ended
        self._closing = threading.Event()
        # Held while statements are sent, so that they reach the driver in their order.
        self._sending = threading.Lock()
        self._line: Driver | None = None
        self._sent = -1
        self.stubborn: set[int] = set()
        self._thread = threading.Thread(target=self._follow, name=f"session {session_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop following; the driver lives on."""
        self._closing.set()
        if (line := self._line) is not None:
            line.close()
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join(5.0)

    def join(self, limit_s: float) -> None:
        """Wait until it has said the end of its driver."""
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join(limit_s)

    def send_open(self) -> None:
        """Send the driver what it has not got yet; nothing happens while there is no line: the next one sends it."""
        with self._sending:
            if (line := self._line) is None:
                return
            for statement in self._store.open_statements(self.session_id):
                if statement.id > self._sent:
                    line.ask(
                        "run",
                        id=statement.id,
                        runner=_RUNNERS.get(statement.kind, "python"),
                        body={"code": statement.code, **statement.options},
                        output_limit=self._limits.output_chars,
                        max_processes=self._limits.max_processes,
                    )
                    self._sent = statement.id
                if statement.state is StatementState.CANCELLING:
                    line.ask("cancel", id=statement.id)

    def cancel(self, statement_id: int) -> None:
        """Ask for the end of a statement; once the driver has it, what follows is told by its events."""
        with self._sending:
            sent = statement_id <= self._sent
            self._store.cancelling(self.session_id, statement_id, sent=sent)
            line = self._line
        if sent and line is not None:
            line.ask("cancel", id=statement_id)
        self._changed(self.session_id)

    def line(self) -> Driver:
        """The line to the driver.

        Raises:
            RemoteError: there is none now.
        """
        if (line := self._line) is None:
            raise RemoteError(
                "session.driver", f"session {self.session_id} is not ready yet", fix="wait until it is idle"
            )
        return line

    def _follow(self) -> None:
        tries = 0
        while not self._closing.is_set():
            try:
                session = self._store.session(self.session_id)
                line = self._drivers.open(session.driver, session.last_seq)
                if line is not None:
                    tries = 0
                    self._listen(line, session.last_seq)
                elif not self._drivers.lives(session.driver):
                    self._bury()
                    return
            except NotFound:
                return  # it was deleted
            except NbplatError as exc:
                # The store is away for a moment, or the driver refuses: neither ends a session.
                _log.warning("session %d: %s", self.session_id, exc)
            except Exception:  # noqa: BLE001 - logged below
                # A bug of ours must not end it either; it is asked again, more and more slowly.
                _log.exception("session %d", self.session_id)
            tries += 1
            self._closing.wait(min(_AGAIN_S * tries, _SLOWER_S))

    def _listen(self, line: Driver, after: int) -> None:
        """Take the events that follow number `after` until the line ends."""
        with self._sending:
            self._line = line
            self._sent = -1
        try:
            # Beside the reading: the answers come with the events.
            threading.Thread(target=self._send_first, daemon=True).start()
            told = 0
            for events in line.events():
                # Counted here: nobody else writes down what this driver tells.
                after = self._write(events, after)
                told += len(events)
                if told >= _FORGET_EVERY:
                    told = 0
                    with contextlib.suppress(RemoteError):
                        line.ask("forget", up_to=events[-1]["seq"])
        finally:
            with self._sending:
                self._line = None
            line.close()

    def _send_first(self) -> None:
        with contextlib.suppress(NbplatError):
            self.send_open()

    def _write(self, events: list[dict[str, object]], after: int) -> int:
        """Write down what follows number `after`; returns the last number."""
        changes = changes_of(events, after)
        self._store.apply(self.session_id, changes)
        self.stubborn |= changes.stubborn
        self.stubborn -= {number for number, change in changes.statements.items() if change.completed_ms}
        if not changes.nothing:
            # Lines of a log are no use of a session: one that is idle may still have them.
            self._changed(self.session_id)
        return changes.last_seq

    def _bury(self) -> None:
        """Take what the driver left, and say how it ended."""
        session = self._store.session(self.session_id)
        self._write(self._drivers.left_behind(session.driver, session.last_seq), session.last_seq)
        session = self._store.session(self.session_id)
        reason = session.reason or death_reason(self._drivers.ending(session.driver), session.app.get("jvm_code"))
        self._store.end_statements(self.session_id, lost_output({"tail": (), "code": "", "message": "", **reason}))
        if session.state not in ENDED:
            asked = session.state is SessionState.SHUTTING_DOWN
            self._store.move_session(self.session_id, SessionState.DEAD, reason=session.reason if asked else reason)
        self._changed(self.session_id)
        self._ended(self.session_id)
