"""Puts an archive together: a head made now, kept layers copied as they are, the end of the kind."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbplat.environment.packing.container import Container, ZipContainer
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.members import Member
from nbplat.environment.packing.ports import Packed
from nbplat.environment.packing.read_file import FileReader
from nbplat.environment.packing.tar_bytes import TAR_END
from nbplat.environment.packing.zip_bytes import zip_directory

__all__ = ["DamagedMember", "assemble"]

_COPY_BYTES = 4 << 20


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
    compress: Callable[[bytes, bool], Packed],
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
    found, size = hashlib.sha256(), 0
    parts: list[tuple[int, Sequence[Sequence[Any]]]] = []
    with out.open("wb") as file, ThreadPoolExecutor(1) as hashing:
        waiting = None
        for data, entries in _parts(head, members, container, compress, parts_end=lambda: parts):
            if entries is not None:
                parts.append((size, entries))
            # The hash is taken beside the writing; one step behind at most.
            if waiting is not None:
                waiting.result()
            waiting = hashing.submit(found.update, data)
            file.write(data)
            size += len(data)
            copied(len(data))
    return found.hexdigest(), size


def _parts(
    head: Sequence[PackedFile],
    members: Sequence[Member],
    container: Container,
    compress: Callable[[bytes, bool], Packed],
    parts_end: Callable[[], list[tuple[int, Sequence[Sequence[Any]]]]],
) -> Iterator[tuple[Packed, Sequence[Sequence[Any]] | None]]:
    """The bytes of an archive, in turn; with the entries of the part that begins there."""
    reader = FileReader("")
    for piece in container.pieces(head, reader, lambda file, data: None):
        squeezed = container.squeeze(piece)
        yield squeezed.data, squeezed.entries
    for member in members:
        entries: Sequence[Sequence[Any]] | None = member.entries
        for data in _copy(member):
            yield data, entries
            entries = None
    end = zip_directory(parts_end()) if isinstance(container, ZipContainer) else compress(TAR_END, False)
    yield end, None


def _copy(member: Member) -> Iterator[bytes]:
    crc, size = 0, 0
    try:
        with member.path.open("rb", buffering=0) as file:
            while data := file.read(_COPY_BYTES):
                crc = member.crc if member.fresh else zlib.crc32(data, crc)
                size += len(data)
                yield data
    except FileNotFoundError:
        raise DamagedMember(member) from None
    if (crc, size) != (member.crc, member.size):
        raise DamagedMember(member)
