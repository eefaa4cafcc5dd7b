"""The store of each location, by its scheme."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from nbplat.adapters.files.local import LocalFiles, append_all
from nbplat.adapters.files.s3 import S3Files
from nbplat.errors import SetupError
from nbplat.terms import Files, Span, StoredFile

__all__ = ["FileStores"]

_S3 = ("s3", "s3a", "s3n")


class FileStores:
    """`nbplat.terms.Files` over every store that this machine can reach.

    Args:
        options: Gives the options of the store that a location lies on, as pyiceberg names them. Asked at
            each use, so that credentials that a catalog lends for a while are taken anew.
    """

    def __init__(self, options: Callable[[str], Mapping[str, str]]) -> None:
        self._options = options
        self._local = LocalFiles()
        self._opened: dict[tuple[tuple[str, str], ...], S3Files] = {}
        self._lock = threading.Lock()

    def open_input(self, location: str) -> BinaryIO:
        """Open for reading, seekable."""
        return self._of(location).open_input(location)

    def open_output(self, location: str) -> AbstractContextManager[BinaryIO]:
        """Write a file; it appears when the block ends."""
        return self._of(location).open_output(location)

    def size(self, location: str) -> int:
        """Size in bytes."""
        return self._of(location).size(location)

    def compose(self, location: str, base: str, length: int, tail: Sequence[bytes | Span]) -> int:
        """Copy where the bytes lie when both are on one store, else stream."""
        store, source = self._of(location), self._of(base)
        if store is source:
            return store.compose(location, base, length, tail)
        with source.open_input(base) as file, store.open_output(location) as out:
            return append_all(out, (Span(file, 0, length), *tail))

    def copies_unseen(self, location: str, base: str, length: int) -> bool:
        """Whether one object store holds both and copies the bytes itself."""
        store = self._of(location)
        return store is self._of(base) and store.copies_unseen(location, base, length)

    def delete(self, location: str) -> None:
        """Delete; nothing happens when it is gone."""
        self._of(location).delete(location)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Every file below a folder."""
        return self._of(prefix).list(prefix)

    def free_bytes(self, location: str) -> int | None:
        """Room where `location` would be written; None when the store has no limit."""
        return self._of(location).free_bytes(location)

    def sweep(self, prefix: str, before_ms: int, *, named: str = "") -> int:
        """Remove what writes left that were begun before and never ended."""
        return self._of(prefix).sweep(prefix, before_ms, named=named)

    def _of(self, location: str) -> Files:
        """The store of a location.

        Raises:
            SetupError: a scheme that cannot be opened here.
        """
        scheme, colon, _ = location.partition(":")
        if not colon or location.startswith("/") or scheme == "file":
            return self._local
        if scheme not in _S3:
            raise SetupError(
                "store.unsupported",
                f"files on {scheme}: cannot be read or written here",
                fix="use a warehouse on a local disk or on S3",
                where=location,
            )
        options = tuple(sorted(self._options(location).items()))
        with self._lock:
            if options not in self._opened:
                self._opened[options] = S3Files(dict(options))
            return self._opened[options]
