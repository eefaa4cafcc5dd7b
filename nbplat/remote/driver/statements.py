"""The main thread's work: statements in order, each interruptible, each done exactly once."""

from __future__ import annotations

import collections
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .cell_error import error_output
from .event_log import EventLog
from .jvm_calls import JvmCalls
from .output import Capture, Stream

__all__ = ["Statement", "Statements"]

_AGAIN_S = 2.0
_STUBBORN_S = 4.0
_REACH_S = 2.0
_RETRY_S = 0.05


class Statement(NamedTuple):
    """Something to run.

    Attributes:
        id: Given by the service, rising.
        runner: ``python``, ``sql`` and what else `Statements` was given runners for.
        body: What the runner needs.
        output_limit: Characters of printed text kept.
        max_processes: That the session may have while it runs; 0 sets no limit.
    """

    id: int
    runner: str
    body: dict[str, Any]
    output_limit: int
    max_processes: int = 0


Runner = Callable[[Statement, Capture], "dict[str, Any]"]


class Statements:
    """Queue and loop.

    A statement that is asked for twice runs once: a service that was killed between asking and writing it down asks
    again.

    Args:
        log: Gets ``accepted``, ``started``, ``stream``, ``done`` and ``stubborn``.
        before: Called on the main thread before a statement runs, e.g. to set Spark's job group.
        after: Called when it has ended.
        cancel: Called with the id, on another thread, to stop what runs beyond this process.
        lost: Called with what a statement raised; does not return when this process is about to end for it.
        calls: Calls to the JVM, which an interrupt waits for.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        before: Callable[[Statement], Any],
        after: Callable[[], Any],
        cancel: Callable[[int], Any],
        lost: Callable[[BaseException], Any] = lambda _: None,
        calls: JvmCalls | None = None,
    ) -> None:
        self._log = log
        self._before = before
        self._after = after
        self._cancel = cancel
        self._lost = lost
        self._calls = calls or JvmCalls()
        self._pid = os.getpid()
        self._ended_for: tuple[str, str] | None = None
        self._lock = threading.Condition()
        self._queue: collections.deque[Statement] = collections.deque()
        self._last_id = -1
        self._running: int | None = None
        # Set around user code only, and looked at by the signal handler, which runs on the main thread as well: an
        # interrupt that comes late finds another number here and does nothing.
        self._interruptible: int | None = None
        self._wanted: int | None = None
        # Set when what runs beyond this process has heard of the last cancel.
        self._reached = threading.Event()
        self._stopping = False
        self.runners: dict[str, Runner] = {}
        self.streams = (Stream("stdout", sys.stdout), Stream("stderr", sys.stderr))

    # -- from other threads ------------------------------------------------------------------------
    def accept(self, statement: Statement) -> bool:
        """Queue a statement; False when it is known already."""
        with self._lock:
            if statement.id <= self._last_id:
                return False
            self._last_id = statement.id
            self._log.append("accepted", id=statement.id)
            self._queue.append(statement)
            self._lock.notify_all()
            return True

    def cancel(self, statement_id: int) -> str:
        """Ask a statement to end.

        Returns:
            ``waiting``: it will not run. ``running``: it was interrupted, and its ``done`` follows once its code has
            really ended. ``ended``: it has ended or is unknown.
        """
        with self._lock:
            for statement in self._queue:
                if statement.id == statement_id:
                    self._queue.remove(statement)
                    self._log.append("done", id=statement_id, status="cancelled", output=None)
                    return "waiting"
            if self._running != statement_id:
                return "ended"
        threading.Thread(target=self._climb, args=(statement_id,), name="cancel", daemon=True).start()
        return "running"

    def end_for(self, name: str, why: str) -> None:
        """Interrupt the running statement, which then has failed with this error."""
        with self._lock:
            running = self._running
            if running is None:
                return
            self._ended_for = (name, why)
        self.cancel(running)

    def mute(self) -> None:
        """In a copy of this process: what it prints is not the statement's."""
        for stream in self.streams:
            stream.capture = None

    def stop(self) -> None:
        """End the loop after the running statement, which is interrupted; what waits is cancelled."""
        with self._lock:
            self._stopping = True
            waiting = [statement.id for statement in self._queue]
            running = self._running
            self._lock.notify_all()
        for statement_id in waiting:
            self.cancel(statement_id)
        if running is not None:
            self.cancel(running)

    @property
    def state(self) -> str:
        """``busy`` while one runs or waits, else ``idle``."""
        with self._lock:
            return "busy" if self._running is not None or self._queue else "idle"

    # -- the main thread ---------------------------------------------------------------------------
    def serve(self) -> None:
        """Run statements until `stop`. Must be called on the main thread: interrupts are signals."""
        signal.signal(signal.SIGINT, self._on_signal)
        sys.unraisablehook = self._on_unraisable
        sys.stdout, sys.stderr = self.streams
        while True:
            with self._lock:
                # With a limit, so that a signal's handler gets its turn everywhere.
                while not self._queue and not self._stopping:
                    self._lock.wait(1.0)
                if self._stopping:
                    return
                statement = self._queue.popleft()
                self._running = statement.id
            self._run(statement)

    def _run(self, statement: Statement) -> None:
        self._log.append("started", id=statement.id)
        capture = Capture(
            lambda name, text: self._log.append("stream", id=statement.id, name=name, text=text), statement.output_limit
        )
        status, output = self._outcome(statement, capture)
        if os.getpid() != self._pid:
            # A copy of this process, made by the cell's own fork: it must not go on as a second driver.
            for stream in self.streams:
                stream.flush()
            os._exit(0 if status == "ok" else 1)
        for stream in self.streams:
            stream.capture = None
        capture.close()
        output["dropped"] = capture.dropped
        if self._wanted == statement.id:
            # Not cancelled before what runs beyond this process has heard of it.
            self._reached.wait(_REACH_S)
        self._after()
        with self._lock:
            self._running = None
            cancelled = self._wanted == statement.id and status == "interrupted"
            self._wanted = None
            ended_for, self._ended_for = self._ended_for, None
        if ended_for is not None and cancelled:
            name, why = ended_for
            cancelled, status = False, "error"
            output.update(ename=name, evalue=why, traceback=[f"{name}: {why}\n"])
        self._log.append("done", id=statement.id, status="cancelled" if cancelled else status, output=output)

    def _outcome(self, statement: Statement, capture: Capture) -> tuple[str, dict[str, Any]]:
        try:
            self._before(statement)
            for stream in self.streams:
                stream.capture = capture
            self._interruptible = statement.id
            try:
                data = self.runners[statement.runner](statement, capture)
            finally:
                self._interruptible = None
                self._calls.forget()
            return "ok", {"data": data}
        except KeyboardInterrupt as exc:
            self._interruptible = None
            return "interrupted", error_output(exc)
        except BaseException as exc:  # noqa: BLE001 - sys.exit in a cell is the cell's error, not our end
            self._interruptible = None
            self._lost(exc)
            return "interrupted" if self._wanted == statement.id else "error", error_output(exc)

    def _on_signal(self, *_: Any) -> None:
        if self._wanted is not None and self._interruptible == self._wanted and not self._calls.hold():
            raise KeyboardInterrupt

    def _on_unraisable(self, lost: Any) -> None:
        """An interrupt that met a finalizer is dropped there by Python; the code goes on, so it is sent again."""
        if lost.exc_type is KeyboardInterrupt and self._wanted is not None:
            again = threading.Timer(_RETRY_S, signal.pthread_kill, (_main_thread(), signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(lost)

    def _climb(self, statement_id: int) -> None:
        """Interrupt, two seconds later again, and say so when it does not help."""
        self._reached.clear()
        self._wanted = statement_id
        for after_s in (_AGAIN_S, _STUBBORN_S - _AGAIN_S):
            # The code first: Spark's own end of the job would look like a failure of the cell.
            signal.pthread_kill(_main_thread(), signal.SIGINT)
            self._guarded_cancel(statement_id)
            if self._ended(statement_id, after_s):
                return
        self._log.append("stubborn", id=statement_id, pid=os.getpid())

    def _guarded_cancel(self, statement_id: int) -> None:
        # Beside: a JVM that does not answer must not keep the second interrupt back.
        threading.Thread(target=self._reach, args=(statement_id,), daemon=True).start()

    def _reach(self, statement_id: int) -> None:
        deadline = time.monotonic() + _REACH_S
        while True:
            try:
                self._cancel(statement_id)
            except Exception:  # noqa: BLE001 - the interrupt closes a connection of py4j's, and another one at times
                if time.monotonic() > deadline:
                    return
                time.sleep(_RETRY_S)
            else:
                self._reached.set()
                return

    def _ended(self, statement_id: int, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            with self._lock:
                if self._running != statement_id:
                    return True
            time.sleep(0.01)
        return False


def _main_thread() -> int:
    ident = threading.main_thread().ident
    assert ident is not None  # noqa: S101 - it runs
    return ident
