"""Calls the service from a cluster: over TLS to a certificate known by its fingerprint, again and again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from nbplat.remote.socket_wire import SHORT, receive, send

from .control import Control
from .tls_pipe import fingerprint_of, plain_end

__all__ = ["Dialer", "tls_call"]

_HELLO_S = 15.0
_FIRST_S = 0.2
_SLOWEST_S = 5.0


class Dialer:
    """Keeps a line to the service: dials, serves, and dials again when the line has ended.

    Args:
        dial: ``host``, ``port``, ``fingerprint`` of the service's certificate, ``session`` (its id) and ``token``.
        say: Takes lines for the driver's log.
    """

    def __init__(self, dial: dict[str, Any], control: Control, say: Callable[[str], Any]) -> None:
        self._dial = dial
        self._token = str(dial["token"])
        self._control = control
        self._say = say
        self._ended = threading.Event()
        threading.Thread(target=self._keep, name="dial", daemon=True).start()

    def close(self) -> None:
        """Dial no more."""
        self._ended.set()

    def _keep(self) -> None:
        wait_s, said = _FIRST_S, ""
        while not self._ended.is_set():
            try:
                connection = self._call()
            except (OSError, ValueError) as exc:
                text = f"the service at {self._dial['host']}:{self._dial['port']} does not answer: {exc}"
                if text != said:
                    self._say(text)
                said = text
                self._ended.wait(wait_s)
                wait_s = min(wait_s * 1.5, _SLOWEST_S)
                continue
            wait_s, said = _FIRST_S, ""
            self._control.serve(connection)
            self._ended.wait(_FIRST_S)

    def _call(self) -> socket.socket:
        """A connection to the very service that started us, and that knows us."""
        tls = tls_call(self._dial["host"], int(self._dial["port"]), str(self._dial["fingerprint"]))
        try:
            send(tls, {"session": self._dial["session"], "token": self._token})
            found = receive(tls, SHORT)
            if found is None or "welcome" not in found[0]:
                raise ConnectionError("it does not know this session")
            # The first token has passed through files of a cluster: another takes its place at once.
            self._token = str(found[0]["welcome"]["token"])
            tls.settimeout(None)
            return plain_end(tls)
        except BaseException:
            tls.close()
            raise


def tls_call(host: str, port: int, fingerprint: str) -> ssl.SSLSocket:
    """A TLS connection to the holder of one certificate, whoever signed it.

    Raises:
        ConnectionError: another certificate was shown.
        OSError: nobody answers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The fingerprint says more than a name and a signature would.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection((host, port), timeout=_HELLO_S)
    try:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise
    if fingerprint_of(tls.getpeercert(binary_form=True)) != fingerprint:
        with contextlib.suppress(OSError):
            tls.close()
        raise ConnectionError("another certificate was shown: this is not the service that started the session")
    return tls
