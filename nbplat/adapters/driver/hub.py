"""Where drivers on a cluster call the service: TLS, a token each, the same port after every restart."""

from __future__ import annotations

import contextlib
import errno
import hmac
import ipaddress
import json
import logging
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.adapters.driver.certificate import dial_certificate
from nbplat.errors import SetupError
from nbplat.remote.driver.tls_pipe import plain_end
from nbplat.remote.socket_wire import SHORT, receive, send

__all__ = ["Hub", "write_spec"]

_log = logging.getLogger("nbplat.session")

_HELLO_S = 10.0
_BACKLOG = 64
_MOST_GREETING = 64


class Hub:
    """Takes calls, and keeps the newest connection of each session until somebody asks for it.

    Args:
        folder: Of ours alone: certificate and port are kept there.
        sessions: Holds a folder a session, each with the ``spec.json`` of its driver.
        host: Address that drivers are told; empty finds that of the interface which leads out.
        port: 0 chooses one once and keeps it.
    """

    def __init__(self, folder: Path, sessions: Path, host: str = "", port: int = 0) -> None:
        self._folder = folder
        self._sessions = sessions
        self.host = host or _own_address()
        self._port = port
        self._listener: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._fingerprint = ""
        self._opening = threading.Lock()
        self._changing = threading.Lock()
        self._greeting = threading.BoundedSemaphore(_MOST_GREETING)
        self._waiting: dict[int, socket.socket] = {}

    def open(self) -> dict[str, Any]:
        """Listen, unless it does already; what drivers are told: ``host``, ``port`` and ``fingerprint``.

        Raises:
            SetupError: ``session.certificate``; ``session.dial``: the port is taken.
        """
        with self._opening:
            if self._listener is None:
                self._context, self._fingerprint = dial_certificate(self._folder / "dial.pem")
                self._listener = self._listening()
                threading.Thread(target=self._accept, args=(self._listener,), name="dial", daemon=True).start()
            return {"host": self.host, "port": self._listener.getsockname()[1], "fingerprint": self._fingerprint}

    def take(self, session_id: int) -> socket.socket | None:
        """The connection that a session's driver has made; None when it has made none since the last one."""
        with self._changing:
            return self._waiting.pop(session_id, None)

    def forget(self, session_id: int) -> None:
        """Close a connection that nobody will ask for."""
        if (found := self.take(session_id)) is not None:
            found.close()

    def close(self) -> None:
        """Take no more calls; drivers go on calling until another service listens."""
        with self._opening:
            if self._listener is not None:
                with contextlib.suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
        with self._changing:
            for connection in self._waiting.values():
                connection.close()
            self._waiting.clear()

    def _listening(self) -> socket.socket:
        kept = self._folder / "dial.port"
        port = self._port
        if not port:
            with contextlib.suppress(OSError, ValueError):
                port = int(kept.read_text())
        try:
            listener = _bound(self.host, port)
        except OSError as exc:
            raise SetupError(
                "session.dial",
                f"port {port}, which drivers on the cluster know, cannot be listened on: {exc.strerror}",
                fix="free it, or set session.dial_port (sessions that run now are lost then)",
            ) from None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.write_text(str(listener.getsockname()[1]))
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            if not self._greeting.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._greet, args=(connection, address), name="dialled", daemon=True).start()

    def _greet(self, connection: socket.socket, address: Any) -> None:
        tls: socket.socket = connection
        try:
            connection.settimeout(_HELLO_S)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert self._context is not None  # noqa: S101 - `open` has made it
            tls = secure = self._context.wrap_socket(connection, server_side=True)
            found = receive(tls, SHORT)
            welcome = None if found is None else self._known(found[0])
            if found is None or welcome is None:
                send(tls, {"refused": "token"})
                raise ConnectionError("it knows no session's token")
            send(tls, {"welcome": welcome})
            plain = plain_end(secure)
            with self._changing:
                before = self._waiting.pop(int(found[0]["session"]), None)
                if self._listener is None:
                    before = plain  # we closed meanwhile
                else:
                    self._waiting[int(found[0]["session"])] = plain
            if before is not None:
                before.close()
        except (OSError, ValueError, TypeError, KeyError) as exc:
            _log.info("a call from %s was refused: %s", address[0], exc)
            with contextlib.suppress(OSError):
                tls.close()
        finally:
            self._greeting.release()

    def _known(self, hello: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a driver is told when it knows its token: the one to call with from now on."""
        folder = self._sessions / str(int(hello["session"]))
        try:
            spec = json.loads((folder / "spec.json").read_text())
        except OSError:
            return None
        shown = str(hello["token"]).encode()
        if not any(hmac.compare_digest(shown, token.encode()) for token in spec["dial_tokens"]):
            return None
        if len(spec["dial_tokens"]) == 1 and not spec["renewed"]:
            spec["dial_tokens"].append(secrets.token_urlsafe(24))
            write_spec(folder, spec)
        return {"token": spec["dial_tokens"][-1]}


def write_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Replace a session's spec, which nobody else may read."""
    fresh = folder / ".spec.json"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(spec, out)
    fresh.replace(folder / "spec.json")


def _bound(host: str, port: int) -> socket.socket:
    """A listener at the address that drivers are told where it is one of this host's, else at every address."""
    where = host if _is_address(host) else ""
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((where, port))
        except OSError as exc:
            if not where or exc.errno != errno.EADDRNOTAVAIL:
                raise
            # Behind a translation of addresses it is nobody's here.
            listener.bind(("", port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _own_address() -> str:
    """The address of the interface that leads out; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))
        return str(asked.getsockname()[0])
    return socket.getfqdn()
