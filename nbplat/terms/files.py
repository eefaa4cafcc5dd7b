from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

__all__ = ["Files", "Span", "StoredFile"]


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes of an open, seekable file; its position is not kept."""

    file: BinaryIO
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a listing met.

    Attributes:
        location: Spelled as the listed prefix is.
        modified_ms: When it was written, in Unix milliseconds.
    """

    location: str
    file_bytes: int
    modified_ms: int


class Files(Protocol):
    """Files by location (``/a/b``, ``file:///a/b``, ``s3://bucket/key``), wherever they lie.

    A file appears whole or not at all, and replaces what was there. A full disk is a SetupError ``disk.full``;
    a file that is not there, FileNotFoundError.
    """

    def open_input(self, location: str) -> BinaryIO:
        """Open for reading, seekable."""

    def open_output(self, location: str) -> AbstractContextManager[BinaryIO]:
        """Write a file; it appears when the block ends, and does not when the block raises."""

    def size(self, location: str) -> int:
        """Size in bytes."""

    def compose(self, location: str, base: str, length: int, tail: Sequence[bytes | Span]) -> int:
        """Write the first `length` bytes of `base` followed by `tail`; returns the size.

        The bytes of `base` are copied where they lie (inside the kernel, inside the object store) when both are on
        one store.
        """

    def copies_unseen(self, location: str, base: str, length: int) -> bool:
        """Whether `compose` has a store copy the bytes of `base` that never pass here.

        The store vouches for them by its own checksums, and reading them back would cost more than the copy did.
        """

    def delete(self, location: str) -> None:
        """Delete; nothing happens when it is gone."""

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Every file below a folder, in no order; nothing when there is no such folder."""

    def free_bytes(self, location: str) -> int | None:
        """Room where `location` would be written; None when the store has no limit."""

    def sweep(self, prefix: str, before_ms: int, *, named: str = "") -> int:
        """Remove what writes left below a folder that were begun before `before_ms` and never ended.

        `named` is what their names have to hold; the folder may be others' as well. Returns how many there were:
        temporary names on a disk, uploads on an object store.
        """
