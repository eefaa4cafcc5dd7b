"""Takes one file out of a multipart request, piece by piece, never holding it whole."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Collection
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from pathlib import Path

from starlette.requests import Request

from nbplat.session.livy_request import LivyRefusal

__all__ = ["MAX_UPLOAD_BYTES", "take_file"]

MAX_UPLOAD_BYTES = 100 << 20
_HEAD_BYTES = 64 << 10
_NAME_CHARS = 200
_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([^";]{1,200})"?', re.IGNORECASE)


async def take_file(request: Request, fields: Collection[str], folder: Path, *, room_bytes: int | None = None) -> Path:
    """Write the file of the first of the named fields into a folder, under its own name without any path.

    Args:
        room_bytes: What the folder may still take; None: any.

    Raises:
        LivyRefusal: 400 for no such field, no name or no multipart body, 413 for more than `MAX_UPLOAD_BYTES`
            or than there is room for. No file is left then.
    """
    found = _BOUNDARY.match(request.headers.get("content-type", ""))
    if found is None:
        raise LivyRefusal(400, {"msg": "Rejected, Reason: the body is no multipart/form-data"})
    parts = _Parts(request.stream(), b"\r\n--" + found[1].encode("latin-1"), room_bytes)
    while (names := await parts.next_part()) is not None:
        if names[0] in fields:
            return await _write(parts, folder / _plain_name(names[1]))
    raise LivyRefusal(400, {"msg": f"Rejected, Reason: the body has no part named {' or '.join(sorted(fields))}"})


async def _write(parts: _Parts, path: Path) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with half.open("xb") as out:
            async for piece in parts.body():
                out.write(piece)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path


def _plain_name(sent: str) -> str:
    """The last part of a path in either spelling."""
    name = sent.replace("\\", "/").rpartition("/")[2]
    if name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > _NAME_CHARS:
        raise LivyRefusal(400, {"msg": f"Rejected, Reason: {name[:50]!r} is no name of a file"})
    return name


class _Parts:
    def __init__(self, source: AsyncIterator[bytes], mark: bytes, room_bytes: int | None) -> None:
        self._source = source
        self._mark = mark
        self._room = room_bytes
        # The first boundary has no line end before it.
        self._buffer = bytearray(b"\r\n")
        self._size = 0

    async def next_part(self) -> tuple[str, str] | None:
        """Field and file name of the next part; None after the last."""
        async for _ in self.body():
            pass
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._buffer.startswith(b"--"):
                return None
            if len(self._buffer) > _HEAD_BYTES:
                raise LivyRefusal(400, {"msg": "Rejected, Reason: the head of a part is too long"})
            await self._more()
        head = BytesHeaderParser().parsebytes(bytes(self._buffer[:end]).lstrip())
        # What follows an empty body begins with the line end that stands here.
        del self._buffer[: end + 2]
        self._skip = 2
        name = head.get_param("name", "", header="content-disposition")
        return collapse_rfc2231_value(name or ""), head.get_filename("")

    _skip = 0

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces up to the next boundary, which is passed over."""
        while (at := self._buffer.find(self._mark)) < 0:
            ready = len(self._buffer) - len(self._mark)
            if ready > self._skip:
                yield bytes(self._buffer[self._skip : ready])
                del self._buffer[:ready]
                self._skip = 0
            await self._more()
        if at > self._skip:
            yield bytes(self._buffer[self._skip : at])
        del self._buffer[: at + len(self._mark)]
        self._skip = 0

    async def _more(self) -> None:
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            raise LivyRefusal(400, {"msg": "Rejected, Reason: the body ends too early"}) from None
        self._size += len(piece)
        if self._size > MAX_UPLOAD_BYTES:
            raise LivyRefusal(413, {"msg": f"A file may have {MAX_UPLOAD_BYTES >> 20} MiB"})
        if self._room is not None and self._size > self._room:
            raise LivyRefusal(413, {"msg": "The session has taken as many files as it may (session.upload_bytes)"})
        self._buffer += piece
