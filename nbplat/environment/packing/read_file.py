"""Reads files of packages and holds them against their hashes: nothing else is ever packed."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import NamedTuple

from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.placeholders import original
from nbplat.environment.packing.scripts import portable_script
from nbplat.errors import DataError

__all__ = ["Changed", "FileReader", "OpenFile"]


class Changed(Exception):
    """A file that was passed on piece by piece turned out to be another one at its end."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class OpenFile(NamedTuple):
    """A file's descriptor, its bytes, and whether it is executable."""

    descriptor: int
    size: int
    executable: bool


class FileReader:
    """Reads what layers are made of, from the package cache and else from the prefix.

    Args:
        prefix: Of the environment; what its files hold in the place of placeholders.

    Attributes:
        doubted: Paths whose file in the cache is another one than the package's: read from the prefix.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.doubted: set[str] = set()

    def whole(self, file: PackedFile) -> tuple[bytes, bool]:
        """The package's own bytes, and whether the file is executable.

        Raises:
            DataError: ``env.hash``: neither the cache nor the prefix holds them.
        """
        if not file.folder:
            return file.content, file.executable
        for path in self._places(file):
            try:
                with open(path, "rb", buffering=0) as source:  # noqa: PTH123 - text, for thousands of files
                    data = source.readall()
                    executable = bool(os.fstat(source.fileno()).st_mode & 0o100)
            except OSError:
                continue
            if path == f"{self._prefix}/{file.path}" and file.placeholder:
                if not file.sha256:
                    continue
                prefix, placeholder = os.fsencode(self._prefix), os.fsencode(file.placeholder)
                data = original(data, prefix, placeholder, binary=file.binary)
            if not file.sha256 or hashlib.sha256(data).hexdigest() == file.sha256:
                return data, executable
        raise self.broken(file)

    def packed(self, file: PackedFile) -> tuple[bytes, bool]:
        """The bytes that go into an archive: commands of packages get a first line that works in any folder.

        Raises:
            DataError: ``env.hash``.
        """
        data, executable = self.whole(file)
        if file.placeholder and file.path.startswith("bin/") and not file.binary:
            return portable_script(data, os.fsencode(file.placeholder)) or data, executable
        return data, executable

    def opened(self, file: PackedFile) -> OpenFile:
        """Open a file that holds no placeholder, to be read piece by piece; nothing is checked. The caller closes it.

        Raises:
            DataError: ``env.hash``: it is gone.
        """
        for path in self._places(file):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            found = os.fstat(descriptor)
            return OpenFile(descriptor, found.st_size, found.st_mode & 0o100 != 0)
        raise self.broken(file)

    def size(self, file: PackedFile) -> int:
        """Bytes of it, nearly: a file with a placeholder may be longer in the end; 0 when it is gone."""
        if not file.folder:
            return len(file.content)
        for path in self._places(file):
            with suppress(OSError):
                return os.stat(path).st_size  # noqa: PTH116 - text, for thousands of files
        return 0

    def doubt(self, file: PackedFile) -> Exception:
        """What to raise when a file was not the package's at its end: it is read again, from the other place."""
        if file.path in self.doubted or file.folder == self._prefix:
            return self.broken(file)
        self.doubted.add(file.path)
        return Changed(file.path)

    def broken(self, file: PackedFile) -> DataError:
        """The refusal of a file that is nowhere as its package has it."""
        inside = file.folder.rstrip("/").rpartition("/")[2]
        whose = "of the package" if file.folder == self._prefix else f"of {inside}"
        return DataError(
            "env.hash",
            f"{file.path} is not the file {whose} any more, neither in the store nor in the environment",
            fix="somebody wrote into the store; have it mended: nbplat env verify --repair",
            where=f"{self._prefix}/{file.path}",
        )

    def _places(self, file: PackedFile) -> list[str]:
        places = [] if file.path in self.doubted else [f"{file.folder}/{file.origin}"]
        return places if file.folder == self._prefix else [*places, f"{self._prefix}/{file.path}"]
