"""The service's listening socket, kept by the worker: while a killed service comes back, callers wait and do not fail.

A connection that arrives meanwhile lies in the socket's queue and is taken by the next service. The line by which a
service hands its socket over stays open: when it breaks without a word, the service was killed, and the worker knows at
once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from nbplat.config import Config
from nbplat.service.discovery import service_lock
from nbplat.service.lock import holder_of
from nbplat.service.wake import runtime_folder

__all__ = ["HandedOver", "ListenerKeeper", "kept_listener"]

_log = logging.getLogger("nbplat.worker")

_NAME = "listener.sock"
_WORD = 4096
_ANSWER_S = 2.0


class ListenerKeeper:
    """The worker's part.

    Args:
        lost: Called when a service that was to be brought back has gone without a word; on a thread.
    """

    def __init__(self, config: Config, lost: Callable[[], None]) -> None:
        self._path = runtime_folder(config) / _NAME
        self._path.unlink(missing_ok=True)  # the holder of the worker's lock owns this name
        self._lost = lost
        self._service_lock = service_lock(config)
        self._lock = threading.Lock()
        self._kept: socket.socket | None = None
        self._lines = 0
        self._again = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self._path))
        self._socket.listen(8)
        threading.Thread(target=self._accept, name="listener keeper", daemon=True).start()

    def close(self) -> None:
        """Let go of the socket: nobody may wait at it any more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._keep(None)
        self._path.unlink(missing_ok=True)

    def look(self) -> None:
        """Bring back a service that was killed before it handed its socket over; nothing happens while one lives."""
        with self._lock:
            left = self._kept is not None and self._again and not self._lines
        if left and holder_of(self._service_lock) is None:
            threading.Thread(target=self._lost, name="revive", daemon=True).start()

    def _count(self, by: int) -> None:
        with self._lock:
            self._lines += by

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), name="listener line", daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            word, handles, _, _ = socket.recv_fds(line, _WORD, 1)
            if word == b"give":
                with self._lock:
                    if self._kept is None:
                        line.sendall(b"none")
                    else:
                        socket.send_fds(line, [b"kept"], [self._kept.fileno()])
                return
            if not handles:
                return
            asked = json.loads(word)
            self._keep(socket.socket(fileno=handles[0]))
            self._again = asked["again"]
            self._count(1)
            try:
                line.sendall(b"kept")
                gone = line.recv(_WORD) != b"bye"
            except OSError:
                gone = True
            finally:
                self._count(-1)
            if gone:
                _log.warning("the service (process %d) is gone without a word", asked["pid"])
                if self._again:
                    self._lost()
            else:
                self._again = False

    def _keep(self, listener: socket.socket | None) -> None:
        with self._lock:
            before, self._kept = self._kept, listener
        if before is not None:
            before.close()


class HandedOver:
    """The service's part: the line by which the worker has the socket; nothing happens while no worker takes it.

    Args:
        again: Whether the worker is to start a service when this one is killed.
    """

    def __init__(self, config: Config, listener: socket.socket, *, again: bool) -> None:
        self._path = str(runtime_folder(config) / _NAME)
        self._listener = listener
        self._word = json.dumps({"pid": os.getpid(), "again": again}).encode()
        self._line: socket.socket | None = None

    def hold(self) -> None:
        """Hand the socket to a worker that has not got it yet."""
        if self._line is not None and not _broken(self._line):
            return
        self._drop()
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_ANSWER_S)
        try:
            line.connect(self._path)
            socket.send_fds(line, [self._word], [self._listener.fileno()])
            if line.recv(_WORD) == b"kept":
                line.settimeout(None)
                self._line = line
                return
        except OSError:
            pass  # the worker is not there yet, or is ending
        line.close()

    def release(self) -> None:
        """Say that the service ends in order."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.sendall(b"bye")
        self._drop()

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def kept_listener(config: Config, port: int) -> socket.socket | None:
    """The socket that a killed service has left with its worker.

    Args:
        port: The port of this state folder; 0 when none was chosen yet.

    Returns:
        None when no worker has one, or one of another address than the configured.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_ANSWER_S)
        try:
            line.connect(str(runtime_folder(config) / _NAME))
            line.sendall(b"give")
            word, handles, _, _ = socket.recv_fds(line, _WORD, 1)
        except OSError:
            return None
    if not handles:
        return None
    listener = socket.socket(fileno=handles[0])
    address: Any = listener.getsockname()
    if word == b"kept" and address[1] == port and _same_host(config, address[0]):
        return listener
    listener.close()
    return None


def _same_host(config: Config, bound: str) -> bool:
    host = config.service_host.strip("[]")
    with contextlib.suppress(OSError):
        return bound in {info[4][0] for info in socket.getaddrinfo(host, None)}
    return False


def _broken(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        line.setblocking(True)
