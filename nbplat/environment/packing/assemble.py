"""Puts an archive together: a head made now, kept layers copied as they are, the end of the kind."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

from nbplat.environment.packing.container import Container
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.members import Member
from nbplat.environment.packing.ports import Packed
from nbplat.environment.packing.read_file import FileReader

__all__ = ["DamagedMember", "assemble"]

_READ_BYTES = 1 << 20
_COPY_BYTES = 32 << 20


_Part = tuple[int, Sequence[Sequence[Any]]]


class DamagedMember(Exception):
    """A kept layer is not what it was when it was made."""

    def __init__(self, member: Member) -> None:
        super().__init__(str(member.path))
        self.member = member


def assemble(
    out: Path,
    head: Sequence[PackedFile],
    members: Sequence[Member],
    container: Container,
    copied: Callable[[int], None],
) -> tuple[str, int]:
    """Write an archive.

    Args:
        copied: Gets the bytes of each step.

    Returns:
        Its sha256 and its size.

    Raises:
        DamagedMember: `out` is not finished.
    """
    begun, parts = _head(head, container)
    size = sum(map(len, begun))
    for member in members:
        parts.append((size, member.entries))
        size += member.size
    end = container.end(parts)
    with out.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as beside:
        # The layers are read once to be hashed and copied once by the kernel, side by side.
        hashing = beside.submit(_hash, begun, members, container, end)
        for data in begun:
            _write(file, data)
        for member in members:
            _copy(member, file, copied)
        _write(file, end)
        return hashing.result(), size + len(end)


def _head(head: Sequence[PackedFile], container: Container) -> tuple[list[Packed], list[_Part]]:
    data: list[Packed] = []
    parts: list[_Part] = []
    for piece in container.pieces(head, FileReader(""), lambda file, content: None):
        squeezed = container.squeeze(piece)
        parts.append((sum(map(len, data)), squeezed.entries))
        data.append(squeezed.data)
    return data, parts


def _hash(begun: Sequence[Packed], members: Sequence[Member], container: Container, end: Packed) -> str:
    found = hashlib.sha256(b"".join(begun))
    buffer = memoryview(bytearray(_READ_BYTES))
    for member in members:
        crc = size = 0
        try:
            with member.path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    found.update(buffer[:count])
                    # What this process has just written needs no second look.
                    crc = member.crc if member.fresh else container.checksum(buffer[:count], crc)
                    size += count
        except FileNotFoundError:
            raise DamagedMember(member) from None
        if (crc, size) != (member.crc, member.size):
            raise DamagedMember(member)
    found.update(end)
    return found.hexdigest()


def _copy(member: Member, out: FileIO, copied: Callable[[int], None]) -> None:
    try:
        source = member.path.open("rb", buffering=0)
    except FileNotFoundError:
        raise DamagedMember(member) from None
    with source:
        try:
            while count := os.sendfile(out.fileno(), source.fileno(), source.tell(), _COPY_BYTES):
                source.seek(count, os.SEEK_CUR)
                copied(count)
        except OSError as error:
            # Some systems send to sockets alone.
            if error.errno not in (errno.ENOTSOCK, errno.EINVAL, errno.ENOSYS):
                raise
            while data := source.read(_COPY_BYTES):
                _write(out, data)
                copied(len(data))


def _write(file: FileIO, data: Packed) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
