"""A TLS connection as a plain socket: one thread alone touches the TLS object, which two threads must not."""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import ssl
import threading

__all__ = ["fingerprint_of", "plain_end"]

_PIECE = 1 << 16
_MOST_WAITING = 1 << 20


def fingerprint_of(der: bytes | None) -> str:
    """SHA-256 of a certificate, in hex; empty for none."""
    return hashlib.sha256(der).hexdigest() if der else ""


def plain_end(tls: ssl.SSLSocket) -> socket.socket:
    """A socket that carries what the TLS connection does; when either ends, so does the other.

    Args:
        tls: Its handshake is done; it is ours from now on.
    """
    ours, theirs = socket.socketpair()
    tls.setblocking(False)
    ours.setblocking(False)
    threading.Thread(target=_carry, args=(tls, ours), name="tls", daemon=True).start()
    return theirs


def _carry(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    to_tls, to_plain = bytearray(), bytearray()
    try:
        while True:
            if not tls.pending():
                _wait(tls, plain, to_tls, to_plain)
            if len(to_plain) < _MOST_WAITING and not _taken(tls, to_plain):
                break
            if len(to_tls) < _MOST_WAITING and not _taken(plain, to_tls):
                # What was written last is still sent.
                _send_rest(tls, to_tls)
                break
            _given(tls, to_tls)
            _given(plain, to_plain)
    except (OSError, ValueError):
        pass  # either end went away
    finally:
        with contextlib.suppress(OSError):
            plain.setblocking(True)
            plain.settimeout(5.0)
            plain.sendall(to_plain)
        for one in (plain, tls):
            with contextlib.suppress(OSError):
                one.close()


def _wait(tls: socket.socket, plain: socket.socket, to_tls: bytearray, to_plain: bytearray) -> None:
    readers = [one for one, waiting in ((tls, to_plain), (plain, to_tls)) if len(waiting) < _MOST_WAITING]
    writers = [one for one, waiting in ((tls, to_tls), (plain, to_plain)) if waiting]
    select.select(readers, writers, [])


def _taken(source: socket.socket, into: bytearray) -> bool:
    """Take what is there; False at the end of the stream."""
    try:
        piece = source.recv(_PIECE)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        return True
    into += piece
    return bool(piece)


def _given(target: socket.socket, waiting: bytearray) -> None:
    if waiting:
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            del waiting[: target.send(bytes(waiting[:_PIECE]))]


def _send_rest(tls: ssl.SSLSocket, waiting: bytearray) -> None:
    tls.settimeout(5.0)
    tls.sendall(waiting)
