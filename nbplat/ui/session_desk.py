"""Sessions as the service keeps them, and one statement followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbplat.config import Config, load_config
from nbplat.errors import NotFound, RemoteError, from_record
from nbplat.ui.client import ServiceClient, find_or_start
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import statement_line, title_of
from nbplat.ui.spoken import spoken
from nbplat.ui.statement_end import Cancelled, StatementFailed
from nbplat.ui.statement_stream import StatementStream

__all__ = ["SessionDesk", "open_session_desk"]

_PATH = "/api/v1/sessions"
_PAGE = 1000


def open_session_desk(config: Config | None = None) -> SessionDesk:
    """The sessions of the configured service, which is started when it is not running."""
    config = config or load_config()
    return SessionDesk(find_or_start(config), config)


class SessionDesk:
    """Requests to ``/api/v1/sessions``; sessions are named by id or name."""

    def __init__(self, client: ServiceClient, config: Config) -> None:
        self.client = client
        self.config = config

    @property
    def place(self) -> str:
        """Names the service, for what a kernel remembers of it."""
        return self.config.service_url or str(self.config.home)

    def every(self) -> list[dict[str, Any]]:
        """Every session in order of id."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.client.get(_PATH, skip=len(found), limit=_PAGE)
            found += page["sessions"]
            if not page["sessions"] or len(found) >= page["total"]:
                return found

    def start(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Start a session.

        Raises:
            NbplatError: what is wrong with the request, or why its driver did not start.
        """
        given = {key: value for key, value in fields.items() if value not in (None, "", (), [], {})}
        session = dict(self.client.post(_PATH, given))
        if session["ended"] and session["error"]:
            raise from_record(session["error"])
        return session

    def show(self, key: str | int) -> dict[str, Any]:
        """A session with its settings. Raises NotFound."""
        return dict(self.client.get(f"{_PATH}/{key}"))

    def living(self, key: str | int) -> dict[str, Any] | None:
        """A session that can still take statements; None when there is none of that name or id."""
        try:
            found = self.show(key)
        except NotFound:
            return None
        return None if found["ended"] else found

    def started(self, key: str | int, show: Callable[[Result], None]) -> dict[str, Any]:
        """Wait until a session has started.

        Raises:
            NbplatError: it did not; with its driver's reason.
        """
        while True:
            session = dict(self.client.get(f"{_PATH}/{key}/wait", wait_s=1.0))
            if session["ended"]:
                raise ended_error(session)
            if session["state"] not in ("not_started", "starting", "recovering"):
                return session
            waited_s = time.time() - session["created_ms"] / 1000
            show(Result(f"session {title_of(session)} {session['state']} {waited_s:.0f} s"))

    def stop(self, key: str | int) -> int:
        """End a session and forget it; returns its id."""
        return int(self.client.delete(f"{_PATH}/{key}")["deleted"])

    def profiles(self) -> dict[str, Any]:
        """The site's profiles that the asker may use, and which is the ``default``."""
        return dict(self.client.get("/api/v1/session-profiles"))

    def share(self, key: str | int, *, view: Sequence[str], use: Sequence[str]) -> dict[str, Any]:
        """Say who besides its owner may look at a session, or use it; returns its record."""
        access = {"view": list(view), "use": list(use)}
        return dict(self.client.request("PUT", f"{_PATH}/{key}/access", query={}, body=access))

    def log(self, key: str | int, *, tail: int = 100) -> list[str]:
        """The last lines of the driver's log."""
        return list(self.client.get(f"{_PATH}/{key}/log", after=-tail, limit=tail)["lines"])

    def submit(self, key: str | int, code: str, kind: str | None = None, **options: Any) -> dict[str, Any]:
        """Have a statement run; returns its record at once."""
        return dict(self.client.post(f"{_PATH}/{key}/statements", {"code": code, "kind": kind, **options}))

    def page(self, statement: Mapping[str, Any], page: int) -> bytes:
        """One page of a statement's rows, an Arrow IPC stream. Raises NotFound."""
        return self.client.get_bytes(f"{_PATH}/{statement['session']}/statements/{statement['id']}/rows/{page}")

    def frame(self, name: str, value: Any) -> bytes:
        """A DataFrame as `send` takes it; nothing is sent.

        Raises:
            RequestError: ``frame.…``: the name is none, it is no frame or too large, or has a type or value that Spark
                lacks.
        """
        from nbplat.session.frame_types import check_frame_name, spark_table
        from nbplat.terms.frame import read_frame
        from nbplat.ui.session_rows import stream_of

        check_frame_name(name)
        return stream_of(name, spark_table(name, read_frame(name, value)), self.config.frame_bytes)

    def send(self, key: str | int, name: str, body: bytes, *, view: bool = False) -> dict[str, Any]:
        """Have a session bind a `frame` to a name; returns the statement that does it, at once."""
        return dict(self.client.post_bytes(f"{_PATH}/{key}/frames", body, name=name, view=view))

    def statement(self, key: str | int, number: int) -> dict[str, Any]:
        """A statement's record. Raises NotFound."""
        return dict(self.client.get(f"{_PATH}/{key}/statements/{number}"))

    def statements(self, key: str | int, *, limit: int = 20) -> list[dict[str, Any]]:
        """The newest statements, newest first."""
        page = self.client.get(f"{_PATH}/{key}/statements", newest_first=True, limit=limit)
        return list(page["statements"])

    def cancel(self, key: str | int, number: int) -> dict[str, Any]:
        """Interrupt a statement."""
        return dict(self.client.post(f"{_PATH}/{key}/statements/{number}/cancel"))

    def complete(self, key: str | int, code: str, cursor: int | None = None) -> dict[str, Any]:
        """What may follow at the cursor."""
        return dict(self.client.post(f"{_PATH}/{key}/complete", {"code": code, "cursor": cursor}))

    def inspect(self, key: str | int, code: str, cursor: int | None = None) -> dict[str, Any]:
        """What the name at the cursor is."""
        return dict(self.client.post(f"{_PATH}/{key}/inspect", {"code": code, "cursor": cursor}))

    def follow(
        self,
        statement: Mapping[str, Any],
        title: str,
        *,
        show: Callable[[Result], None],
        write: Callable[[str, Any], None],
    ) -> dict[str, Any]:
        """Show a statement as it runs, and wait for its end.

        An interrupt (Ctrl-C) cancels the statement; its real end is waited for. Another one leaves it to itself.

        Args:
            title: How it is called: session and number.
            show: Takes its progress.
            write: Takes what it prints and displays.

        Returns:
            Its record.

        Raises:
            StatementFailed: its code failed.
            Cancelled: it was cancelled.
        """
        where = f"{_PATH}/{statement['session']}/statements/{statement['id']}"
        stream = StatementStream(self.client, where)
        asked = False
        while True:
            try:
                done = self._watch(stream, title, show, write)
                break
            except KeyboardInterrupt:
                if asked:
                    said = spoken("%session stop ends it")
                    raise Cancelled(f"{title} was asked to end and still runs ({said})") from None
                asked = True
                self.client.post(f"{where}/cancel")
        if done["state"] == "cancelled":
            raise Cancelled(f"{title} was cancelled")
        if done["output"] and done["output"]["status"] == "error":
            raise StatementFailed(title, done["output"])
        return done

    def _watch(
        self,
        stream: StatementStream,
        title: str,
        show: Callable[[Result], None],
        write: Callable[[str, Any], None],
    ) -> dict[str, Any]:
        state: dict[str, Any] = {"state": "waiting", "stubborn": False}
        progress: dict[str, Any] = {}
        began_s = time.monotonic()
        drawn = False
        for event in stream.events():
            if event.name in ("stdout", "stderr"):
                write(event.name, event.data["text"])
            elif event.name == "display":
                write("display", event.data["data"])
            elif event.name == "done":
                if drawn:
                    show(statement_line(title, event.data, progress, time.monotonic() - began_s))
                return event.data
            else:
                stubborn = state["stubborn"]
                if event.name == "state":
                    state = event.data
                else:
                    progress = event.data
                if state["stubborn"] and not stubborn:
                    said = spoken("%session stop ends it")
                    write("stderr", f"{title} does not end though it was interrupted twice; {said}\n")
                # A statement that is done in a moment needs no line.
                if progress.get("total") or state["state"] == "cancelling":
                    drawn = True
                    show(statement_line(title, state, progress, time.monotonic() - began_s))
        raise RemoteError("session.stream", f"{title} ended without a word", fix="look at %session logs")


def ended_error(session: Mapping[str, Any]) -> Exception:
    """Why a session takes no statements any more."""
    if session["error"]:
        return from_record(session["error"])
    return NotFound(
        "session.ended",
        f"session {title_of(session)} is {session['state']}",
        fix="start another: %session start",
        where=str(session["id"]),
    )
