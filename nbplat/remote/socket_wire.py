"""Messages of `wire` over a socket."""

from __future__ import annotations

import socket
import sys
from typing import Any

from .wire import pack, unpack

__all__ = ["SHORT", "receive", "send"]

SHORT = 1 << 16
"""Bytes of a greeting, before anybody is known."""

_PIECE_BYTES = 1 << 20


def send(connection: socket.socket, head: dict[str, Any], payload: bytes = b"") -> None:
    """Send one message; raises OSError."""
    for piece in pack(head, payload):
        # Not an empty one: who refuses us has hung up by then, and its answer is still to be read.
        if len(piece):
            connection.sendall(piece)


def receive(connection: socket.socket, longest: int = sys.maxsize) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; None when the other side has hung up, also in the middle of one.

    Args:
        longest: Bytes of its head, and of its payload, that are taken from this sender.

    Raises:
        ValueError: it is longer, or no message.
        OSError: the connection broke.
    """

    def read(count: int) -> bytes:
        if count > longest:
            raise ValueError(f"a message is longer than {longest} bytes")
        pieces = []
        while count:
            piece = connection.recv(min(count, _PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    return unpack(read)
