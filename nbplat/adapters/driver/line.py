"""A line to one driver: events come in, questions are asked and answered."""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbplat.errors import RemoteError
from nbplat.remote import PROTOCOL
from nbplat.remote.socket_wire import receive, send

if TYPE_CHECKING:
    from nbplat.session.ports import Driver

__all__ = ["Line"]

_HELLO_S = 10.0
# A driver says that it is alive every five seconds.
_SILENT_S = 60.0


class Line:
    """An open connection. One thread reads; any thread may ask.

    Args:
        path: Of the driver's socket, or what a connected one is called.
        after: Number of the newest event that is known already.
        connected: A connection that the driver has made itself; None makes one.

    Raises:
        ConnectionError, FileNotFoundError: nothing listens there.
        RemoteError: ``session.driver``: it refuses the token or speaks another protocol.
    """

    def __init__(self, path: str, token: str, after: int, connected: socket.socket | None = None) -> None:
        self._path = path
        self._socket = connected or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._writing = threading.Lock()
        self._refs = itertools.count(1)
        self._answers: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self._events: queue.Queue[list[dict[str, Any]] | None] = queue.Queue()
        try:
            self._socket.settimeout(_HELLO_S)
            if connected is None:
                self._socket.connect(path)
            # A driver that refuses us may hang up before the last byte is sent; its answer is there all the same.
            with contextlib.suppress(BrokenPipeError):
                self._send({"token": token, "after": after})
            self.about = self._greet()
            self._socket.settimeout(_SILENT_S)
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._read, name="driver line", daemon=True).start()

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of events as they come; ends when the line does."""
        while (row := self._events.get()) is not None:
            yield row

    def ask(self, what: str, *, limit_s: float = 10.0, **values: Any) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises:
            RemoteError: ``session.driver``: the line ended, no answer came in time, or the driver refuses.
        """
        found = self._exchanged(what, limit_s, values)
        if "error" in found:
            raise self._lost(f"it refuses {what!r}: {found['error']}")
        answer: dict[str, Any] = found["answer"]
        return answer

    def _exchanged(self, what: str, limit_s: float, values: dict[str, Any]) -> dict[str, Any]:
        """What the driver says: ``answer``, or ``error`` when it refuses. Raises RemoteError when it says nothing."""
        ref = next(self._refs)
        waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(1)
        self._answers[ref] = waiting
        try:
            self._send({"ask": what, "ref": ref, **values})
            found = waiting.get(timeout=limit_s)
        except (OSError, queue.Empty):
            found = None
        finally:
            self._answers.pop(ref, None)
        if found is None:
            raise self._lost(f"it does not answer {what!r}")
        return found

    def close(self) -> None:
        """Let go of the line; the driver lives on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _greet(self) -> dict[str, Any]:
        found = receive(self._socket)
        if found is None:
            raise ConnectionError("the driver hung up")
        if "refused" in found[0]:
            raise self._lost(f"it refuses our {found[0]['refused']}")
        about: dict[str, Any] = found[0]["hello"]
        if about["protocol"] != PROTOCOL:
            raise self._lost(f"it speaks protocol {about['protocol']}, not {PROTOCOL}")
        return about

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (message := receive(self._socket)) is not None:
                head = message[0]
                if "events" in head:
                    self._events.put(head["events"])
                elif (waiting := self._answers.get(head.get("ref", 0))) is not None:
                    waiting.put(head)
        self._events.put(None)
        for waiting in list(self._answers.values()):
            with contextlib.suppress(queue.Full):
                waiting.put_nowait(None)

    def _send(self, head: dict[str, Any]) -> None:
        with self._writing:
            send(self._socket, head)

    def _lost(self, why: str) -> RemoteError:
        return RemoteError(
            "session.driver",
            f"the session's driver is of no help: {why}",
            fix="look at its log (%session logs), or stop the session and start another",
            where=self._path,
        )


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Driver] = Line
