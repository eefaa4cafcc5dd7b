"""Files on a local disk: copied inside the kernel, synced, and renamed into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nbplat.errors import SetupError
from nbplat.terms import Span, StoredFile, file_location, local_path

__all__ = ["PARTIAL", "LocalFiles"]

PARTIAL = ".partial"
"""Ends the name of a file that is being written; what a kill leaves behind."""
_COPY_BYTES = 8 << 20
_NO_SPACE = 28


class LocalFiles:
    """`nbplat.terms.Files` of local paths and ``file:`` locations."""

    def open_input(self, location: str) -> BinaryIO:
        """Open for reading."""
        return local_path(location).open("rb")

    @contextmanager
    def open_output(self, location: str) -> Iterator[BinaryIO]:
        """Write under another name, sync, rename.

        Raises:
            SetupError: when the disk is full; nothing is left behind.
        """
        target = local_path(location)
        partial = target.with_name(target.name + PARTIAL)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            _sync_folder(target.parent)
        except BaseException as exc:
            partial.unlink(missing_ok=True)
            if isinstance(exc, OSError) and exc.errno == _NO_SPACE:
                raise _full(target.parent) from None
            raise

    def size(self, location: str) -> int:
        """Size in bytes."""
        return local_path(location).stat().st_size

    def compose(self, location: str, base: str, length: int, tail: Sequence[bytes | Span]) -> int:
        """Copy with ``copy_file_range`` (shared blocks on file systems that can), else as a stream."""
        with self.open_input(base) as source, self.open_output(location) as out:
            return append_all(out, (Span(source, 0, length), *tail))

    def copies_unseen(self, location: str, base: str, length: int) -> bool:
        """False: what is on this machine is cheap to read back."""
        return False

    def delete(self, location: str) -> None:
        """Delete; nothing happens when it is gone."""
        local_path(location).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Every file below a folder."""
        root = local_path(prefix)
        spelled = str if prefix.startswith("/") else file_location
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                try:
                    found = path.stat()
                except FileNotFoundError:  # deleted meanwhile
                    continue
                yield StoredFile(spelled(path), found.st_size, found.st_mtime_ns // 1_000_000)

    def free_bytes(self, location: str) -> int | None:
        """Room on the disk of `location`, which need not exist yet."""
        path = local_path(location)
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def sweep(self, prefix: str, before_ms: int, *, named: str = "") -> int:
        """Delete files under temporary names that were last written before."""
        left = [
            file
            for file in self.list(prefix)
            if file.location.endswith(PARTIAL) and named in file.location and file.modified_ms < before_ms
        ]
        for file in left:
            self.delete(file.location)
        return len(left)


def append_all(target: BinaryIO, pieces: Sequence[bytes | Span]) -> int:
    """Append bytes and spans in order; returns where the file ends then.

    Raises:
        EOFError: see `append_span`.
    """
    for piece in pieces:
        if isinstance(piece, Span):
            append_span(target, piece)
        else:
            target.write(piece)
    return target.tell()


def append_span(target: BinaryIO, span: Span) -> None:
    """Append bytes of an open file, inside the kernel where it can.

    Raises:
        EOFError: the file ends before the span does.
    """
    target.flush()
    at, done = target.tell(), _copy_in_kernel(target, span)
    span.file.seek(span.start + done)
    if done:  # which the target's own position does not know of
        target.seek(at + done)
    while done < span.length:
        piece = span.file.read(min(_COPY_BYTES, span.length - done))
        if not piece:
            raise EOFError(f"{span.length - done} bytes are missing")
        target.write(piece)
        done += len(piece)


def _copy_in_kernel(target: BinaryIO, span: Span) -> int:
    """How many bytes were moved; fewer than asked for when the file systems do not do this."""
    done = 0
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        source_fd, target_fd, at = span.file.fileno(), target.fileno(), target.tell()
        while done < span.length:
            moved = os.copy_file_range(source_fd, target_fd, span.length - done, span.start + done, at + done)
            if moved == 0:
                break
            done += moved
    except OSError as exc:  # io.UnsupportedOperation, of files without a descriptor, is one too
        if exc.errno == _NO_SPACE:  # the stream copy would meet the same
            raise
    return done


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(folder: Path) -> SetupError:
    return SetupError("disk.full", "the disk is full", fix="make room, then run it again", where=str(folder))
