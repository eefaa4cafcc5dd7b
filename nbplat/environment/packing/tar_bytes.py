"""Tar written by hand: the headers are ours to the byte, and the stream comes in pieces that compress side by side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nbplat.environment.packing.files import PackedFile, in_order
from nbplat.environment.packing.read_file import FileReader, OpenFile

__all__ = ["PIECE_BYTES", "TAR_END", "Buffers", "Piece", "tar_header", "tar_pieces"]

PIECE_BYTES = 2 << 20
"""Of the stream before compression; where it is cut decides about the bytes, so it is the same on every machine."""

TAR_END = b"\0" * 1024

_BLOCK = 512
# 2020-01-01: after 1980, which zip needs, and not so early that tar warns.
_TIME = b"%011o" % 1577836800
_FILE, _LINK, _FOLDER, _EXTENDED = b"0", b"2", b"5", b"x"
_LARGEST = 1 << 33  # the size field holds 11 octal digits


def tar_header(path: str, *, size: int = 0, executable: bool = False, target: str = "") -> bytes:
    """The header of one entry, an extended one before it where the plain one has no room.

    Args:
        path: That of a folder ends in a slash.
        target: Of a symbolic link.
    """
    name, link = path.encode("utf-8", "surrogateescape"), target.encode("utf-8", "surrogateescape")
    kind = _FOLDER if path.endswith("/") else _LINK if target else _FILE
    mode = b"0000755" if executable or kind == _FOLDER else b"0000777" if target else b"0000644"
    start, rest = _split(name)
    extended = []
    if not start and not rest:
        extended.append((b"path", name))
        rest = name[-100:] if name.isascii() else b"name-in-extended-header"
    if len(link) > 100 or not link.isascii():
        extended.append((b"linkpath", link))
        link = b"target-in-extended-header"
    if size >= _LARGEST:
        extended.append((b"size", b"%d" % size))
        size = 0
    plain = _block(rest, start, mode, size, kind, link)
    return _extended(extended) + plain if extended else plain


def tar_pieces(
    files: Sequence[PackedFile],
    reader: FileReader,
    relocated: Callable[[PackedFile, bytes], None],
    buffers: Buffers,
) -> Iterator[Piece]:
    """The tar stream of files, without its end, in pieces of `PIECE_BYTES`; the last ones are shorter.

    Args:
        relocated: Gets every file with a placeholder and its bytes.
        buffers: Where pieces come from; who is done with one gives it back.

    Raises:
        DataError: ``env.hash``: a file is not its package's.
        Changed: a large file turned out not to be; begin again.
    """
    pieces = _Pieces(buffers)
    for machine_code, ordered in in_order(files):
        pieces.machine_code = machine_code
        for file in ordered:
            if file.target or file.path.endswith("/"):
                pieces.put(tar_header(file.path, target=file.target))
            elif file.placeholder or not file.folder:
                data, executable = reader.packed(file)
                if file.placeholder:
                    relocated(file, data)
                pieces.put(tar_header(file.path, size=len(data), executable=executable))
                pieces.put(data)
            else:
                yield from _file(file, reader, pieces)
            pieces.pad()
            yield from pieces.full()
        yield from pieces.rest()


def _file(file: PackedFile, reader: FileReader, pieces: _Pieces) -> Iterator[Piece]:
    opened = reader.opened(file)
    try:
        header = tar_header(file.path, size=opened.size, executable=opened.executable)
        if opened.size + len(header) > pieces.room:
            yield from _large(file, reader, pieces, header, opened)
            return
        into = pieces.ahead(len(header), opened.size)
        whole = not opened.size or os.readv(opened.descriptor, [into]) == opened.size
        if whole and (not file.sha256 or hashlib.sha256(into).hexdigest() == file.sha256):
            pieces.put(header)
            pieces.skip(opened.size)
            return
    finally:
        os.close(opened.descriptor)
    data, executable = reader.whole(file)
    pieces.put(tar_header(file.path, size=len(data), executable=executable))
    pieces.put(data)


def _large(file: PackedFile, reader: FileReader, pieces: _Pieces, header: bytes, opened: OpenFile) -> Iterator[Piece]:
    """A file that does not fit into the piece: read on as pieces fill, its hash known at the end."""
    found, left = hashlib.sha256(), opened.size
    pieces.put(header)
    yield from pieces.full()
    while left:
        into = pieces.ahead(0, min(left, pieces.room))
        count = os.readv(opened.descriptor, [into])
        if not count:
            raise reader.doubt(file)
        found.update(into[:count])
        pieces.skip(count)
        left -= count
        yield from pieces.full()
    if file.sha256 and found.hexdigest() != file.sha256:
        raise reader.doubt(file)


class Piece(NamedTuple):
    """A stretch of the stream.

    Attributes:
        machine_code: Whether it holds nothing else: it is compressed by other rules than texts are.
    """

    data: memoryview
    machine_code: bool


class Buffers:
    """Buffers of one size that go round: fresh memory costs more than what is done with it."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self) -> memoryview:
        try:
            return memoryview(self._free.pop())
        except IndexError:
            return memoryview(bytearray(PIECE_BYTES))

    def give(self, piece: memoryview) -> None:
        """Take a piece back, or the part of one that was used."""
        self._free.append(piece.obj)  # type: ignore[arg-type]


class _Pieces:
    """Fills buffers of one size after each other."""

    def __init__(self, buffers: Buffers) -> None:
        self._full: list[memoryview] = []
        self._buffers = buffers
        self.machine_code = False
        self._buffer = buffers.take()
        self._at = 0

    @property
    def room(self) -> int:
        return PIECE_BYTES - self._at

    def put(self, data: bytes) -> None:
        end = self._at + len(data)
        if end < PIECE_BYTES:
            self._buffer[self._at : end] = data
            self._at = end
            return
        left = memoryview(data)
        while left:
            part = left[: self.room]
            self._buffer[self._at : self._at + len(part)] = part
            left = left[len(part) :]
            self.skip(len(part))

    def ahead(self, offset: int, size: int) -> memoryview:
        """Room further on, to be read into; it counts when it is skipped."""
        start = self._at + offset
        return self._buffer[start : start + size]

    def skip(self, count: int) -> None:
        self._at += count
        if self._at == PIECE_BYTES:
            self._full.append(self._buffer)
            self._buffer, self._at = self._buffers.take(), 0

    def pad(self) -> None:
        # Written and not only skipped: a file that turned out to be another one may have left bytes there.
        if left := -self._at % _BLOCK:
            self.put(bytes(left))

    def full(self) -> Iterator[Piece]:
        while self._full:
            yield Piece(self._full.pop(0), self.machine_code)

    def rest(self) -> Iterator[Piece]:
        """What is left; from here on is another piece."""
        yield from self.full()
        if self._at:
            yield Piece(self._buffer[: self._at], self.machine_code)
            self._buffer, self._at = self._buffers.take(), 0


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) of a plain header; two empty ones when it has no room."""
    if not name.isascii():
        return b"", b""
    if len(name) <= 100:
        return b"", name
    if len(name) > 256:
        return b"", b""
    # The name begins behind a slash: as late as the name's 100 bytes need, no later than the prefix's 155 allow.
    cut = name.find(b"/", len(name) - 101, min(156, len(name) - 1))
    return (b"", b"") if cut <= 0 else (name[:cut], name[cut + 1 :])


def _extended(records: list[tuple[bytes, bytes]]) -> bytes:
    """A POSIX extended header: ``length key=value`` lines."""
    body = b""
    for key, value in records:
        line = b" " + key + b"=" + value + b"\n"
        length = len(line)
        while length != len(b"%d" % length) + len(line):
            length = len(b"%d" % length) + len(line)
        body += b"%d" % length + line
    head = _block(b"extended-header", b"", b"0000644", len(body), _EXTENDED, b"")
    return head + body + bytes(-len(body) % _BLOCK)


def _block(name: bytes, prefix: bytes, mode: bytes, size: int, kind: bytes, link: bytes) -> bytes:
    start = b"%s%s\0%s\0%s\0%011o\0%s\0" % (name.ljust(100, b"\0"), mode, b"0000000", b"0000000", size, _TIME)
    end = b"%s%sustar\x0000%s0000000\x000000000\x00%s" % (
        kind,
        link.ljust(100, b"\0"),
        bytes(64),
        prefix.ljust(155, b"\0"),
    )
    checksum = sum(start) + sum(end) + 8 * 0x20
    return (start + b"%06o\0 " % checksum + end).ljust(_BLOCK, b"\0")
