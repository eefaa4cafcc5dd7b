"""The kinds of archives: how each cuts files into pieces that are compressed side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nbplat.environment.pack_record import PackOptions
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.ports import Codec, Packed
from nbplat.environment.packing.read_file import FileReader
from nbplat.environment.packing.tar_bytes import TAR_END, Buffers, Piece, tar_pieces
from nbplat.environment.packing.zip_bytes import zip_batch, zip_batches, zip_directory

__all__ = ["Container", "Squeezed", "container_of"]


@dataclass(frozen=True, slots=True)
class Squeezed:
    """A compressed piece; of a zip with its entries, from the start of the piece; `raw_bytes`: of what it was made."""

    data: Packed
    raw_bytes: int
    entries: Sequence[Sequence[Any]] = ()


class Container(Protocol):
    """A kind of archive: cuts layers into pieces and compresses them, several at once."""

    @property
    def name(self) -> str:
        """Of the kind and its compression; equal names give equal bytes."""

    def pieces(self, files: Sequence[PackedFile], reader: FileReader, relocated: Relocated) -> Iterator[Any]: ...

    def squeeze(self, piece: Any) -> Squeezed: ...

    def checksum(self, data: Packed | memoryview, before: int) -> int: ...

    def end(self, parts: Iterable[tuple[int, Sequence[Sequence[Any]]]]) -> Packed:
        """What follows the last part.

        Args:
            parts: Where each part starts, and its entries.
        """


Relocated = Callable[[PackedFile, bytes], None]


class TarContainer:
    """Tar, in pieces that are each a gzip member or a zstd frame."""

    def __init__(self, codec: Codec) -> None:
        self.name = f"tar {codec.name}"
        self.checksum = codec.checksum
        self._compress = codec.compress
        self._buffers = Buffers()

    def pieces(self, files: Sequence[PackedFile], reader: FileReader, relocated: Relocated) -> Iterator[Piece]:
        return tar_pieces(files, reader, relocated, self._buffers)

    def squeeze(self, piece: Piece) -> Squeezed:
        squeezed = Squeezed(self._compress(piece.data, piece.machine_code), len(piece.data))
        self._buffers.give(piece.data)
        return squeezed

    def end(self, parts: Iterable[tuple[int, Sequence[Sequence[Any]]]]) -> Packed:
        return self._compress(TAR_END, False)


class ZipContainer:
    """Zip: every file apart."""

    def __init__(self, codec: Codec) -> None:
        self.name = f"zip {codec.name}"
        self.checksum = codec.checksum
        self._deflate = codec.compress

    def pieces(self, files: Sequence[PackedFile], reader: FileReader, relocated: Relocated) -> Iterator[Any]:
        return ((batch, reader, relocated) for batch in zip_batches(files, reader))

    def squeeze(self, piece: Any) -> Squeezed:
        data, entries = zip_batch(piece[0], piece[1], self._deflate, piece[2])
        return Squeezed(data, sum(entry.size for entry in entries), entries)

    def end(self, parts: Iterable[tuple[int, Sequence[Sequence[Any]]]]) -> Packed:
        return zip_directory(parts)


def container_of(options: PackOptions, codec: Codec) -> Container:
    """The kind that a format asks for."""
    return ZipContainer(codec) if options.format == "zip" else TarContainer(codec)
