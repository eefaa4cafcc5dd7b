"""Where a service speaks to the driver: over a Unix socket or a line of ours, with a token; events out, requests in."""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from nbplat.remote import PROTOCOL
from nbplat.remote.socket_wire import receive
from nbplat.remote.socket_wire import send as send_on

from .event_log import EventLog

__all__ = ["Control"]

_HELLO_S = 10.0
_LONGEST = 128 << 20
# A cell that ends within it is told with its beginning: one message, and one transaction of the service, less.
_SHORT_S = 0.005
_BEGINNINGS = ("accepted", "started")

Handler = Callable[[dict[str, Any], bytes], "dict[str, Any]"]


class Control:
    """Listens and serves each connection on threads of its own.

    A connection begins with ``{"token": …, "after": n}``; the answer says who this is, and the events that follow
    number `n` come, old ones first. Each request carries ``ask`` (what) and ``ref`` (a number of the asker's), and gets
    one answer with that ``ref``.

    Args:
        path: Of the socket; its folder must be ours alone. Empty: nobody can connect, and `serve` is called.
        token: What a caller must know.
        about: What the driver says of itself.
        handlers: By what is asked; called on the connection's thread, so that an answer never waits for a cell.
        short_s: How long the beginning of a statement waits for what follows it.
    """

    def __init__(
        self,
        path: str,
        token: str,
        log: EventLog,
        about: Callable[[], dict[str, Any]],
        handlers: dict[str, Handler],
        short_s: float = _SHORT_S,
    ) -> None:
        self._path = path
        self._token = token
        self._log = log
        self._about = about
        self._handlers = handlers
        self._short_s = short_s
        self._serving = 0
        self._alone_since: float | None = time.monotonic()
        self._counting = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if path:
            self._listen()

    def _listen(self) -> None:
        if os.path.exists(self._path):  # noqa: PTH110 - plain strings here
            os.unlink(self._path)  # noqa: PTH108
        mask = os.umask(0o177)
        try:
            self._listener.bind(self._path)
        finally:
            os.umask(mask)
        self._listener.listen(8)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    @property
    def alone_s(self) -> float:
        """Seconds since the last service let go; 0 while there is one. The time a machine sleeps does not count."""
        since = self._alone_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()
        if self._path and os.path.exists(self._path):  # noqa: PTH110
            os.unlink(self._path)  # noqa: PTH108

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), name="service", daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until it ends, and close it."""
        lock = threading.Lock()

        def send(head: dict[str, Any], payload: bytes = b"") -> None:
            with lock:
                send_on(connection, head, payload)

        counted = False
        try:
            connection.settimeout(_HELLO_S)
            hello = receive(connection, _LONGEST)
            if hello is None or not hmac.compare_digest(str(hello[0].get("token", "")), self._token):
                send({"refused": "token"})
                return
            connection.settimeout(None)
            self._count(1)
            counted = True
            send({"hello": {"protocol": PROTOCOL, **self._about()}})
            threading.Thread(
                target=self._follow, args=(connection, send, int(hello[0].get("after", 0))), daemon=True
            ).start()
            while True:
                asked = receive(connection, _LONGEST)
                if asked is None:
                    return
                send(*self._answer(*asked))
        except (OSError, ValueError):
            return  # the service went away; another will come
        finally:
            if counted:
                self._count(-1)
            # Wakes the thread that sends events as well.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _count(self, step: int) -> None:
        with self._counting:
            self._serving += step
            self._alone_since = None if self._serving else time.monotonic()

    def _answer(self, head: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        handler = self._handlers.get(str(head.get("ask")))
        if handler is None:
            return {"ref": head.get("ref"), "error": f"nothing is called {head.get('ask')!r}"}, b""
        try:
            answer = handler(head, payload)
        except Exception as exc:  # noqa: BLE001 - told to the asker; the driver lives on
            return {"ref": head.get("ref"), "error": f"{type(exc).__name__}: {exc}"}, b""
        return {"ref": head.get("ref"), "answer": answer}, b""

    def _follow(self, connection: socket.socket, send: Callable[..., None], after: int) -> None:
        try:
            while connection.fileno() >= 0:
                events = self._log.read(after)
                if events and self._goes_on(events[-1]):
                    continue
                if events:
                    send({"events": events})
                    after = events[-1]["seq"]
                elif not self._log.wait(after, 5.0):
                    send({"alive": self._log.last})
        except (OSError, ValueError):
            return

    def _goes_on(self, newest: dict[str, Any]) -> bool:
        """Whether a beginning is followed by something within a moment."""
        return newest["event"] in _BEGINNINGS and self._log.wait(newest["seq"], self._short_s)
