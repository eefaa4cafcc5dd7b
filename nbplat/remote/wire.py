"""Messages between us and a child interpreter: a JSON head and a payload, each with its length in front."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["pack", "unpack"]

_LENGTHS = struct.Struct(">QQ")


def pack(head: dict[str, Any], payload: Any = b"") -> list[Any]:
    """The buffers of one message, to be written one after the other.

    Args:
        payload: ``bytes`` or anything with the buffer protocol; an Arrow IPC stream, or empty.
    """
    text = json.dumps(head).encode()
    view = memoryview(payload).cast("B")
    return [_LENGTHS.pack(len(text), view.nbytes) + text, view]


def unpack(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message.

    Args:
        read: Gives exactly the asked count of bytes, or fewer at the end of the stream.

    Returns:
        Head and payload; None when the stream has ended, also in the middle of a message.
    """
    lengths = read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_bytes, payload_bytes = _LENGTHS.unpack(lengths)
    text = read(head_bytes)
    payload = read(payload_bytes) if payload_bytes else b""
    if len(text) < head_bytes or len(payload) < payload_bytes:
        return None
    return json.loads(text), payload
