"""The warehouse folder: what lies inside it, and reading and writing metadata files there.

No location that a client sends is opened before it is known to lie inside the folder.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
from pathlib import Path

from nbplat.service.iceberg_rest.faults import RefusedError, forbidden

__all__ = ["Warehouse", "local_path"]

_LOCAL = re.compile(r"(?:file:(?://(?:localhost)?(?=/))?)?(/.*)", re.IGNORECASE | re.DOTALL)


def local_path(location: str) -> Path | None:
    """The absolute path of ``file:/…`` (Java), ``file:///…`` (pyiceberg) or ``/…``; None for anything else.

    Escapes such as ``%20`` stay as they are: neither Hadoop nor pyiceberg decodes them.
    """
    found = _LOCAL.fullmatch(location)
    return Path(found[1]) if found and "\x00" not in location else None


class Warehouse:
    """One folder and its metadata files.

    Args:
        uri: The folder as the catalog spells it.
    """

    def __init__(self, uri: str) -> None:
        path = local_path(uri)
        if path is None:
            raise ValueError(f"the embedded catalog's warehouse {uri!r} is no local folder")
        self.uri = uri.rstrip("/")
        self._root = path.resolve()

    def holds(self, location: str) -> bool:
        """True when `location` lies below the folder, links and ``..`` resolved."""
        path = local_path(location)
        return path is not None and self._root in path.resolve().parents

    def check(self, location: str, what: str) -> str:
        """Return `location`, or raise 403 when it lies outside."""
        if not self.holds(location):
            raise forbidden(f"{what} {location!r} is outside the warehouse {self.uri}; leave the location out")
        return location

    def read(self, location: str) -> bytes:
        """A metadata file as it is, unpacked when gzipped. Raises 403 outside the folder, 404 when it is gone."""
        path = self._path(location, "the metadata file")
        try:
            raw = path.read_bytes()
        except OSError:
            raise RefusedError(404, "NoSuchTableException", f"the metadata file {location} cannot be read") from None
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw

    def write(self, location: str, content: bytes) -> None:
        """Write a new metadata file and wait until the disk has it: the pointer moves next."""
        path = self._path(location, "the metadata file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def discard(self, location: str) -> None:
        """Delete a file that nothing refers to; outside the folder, or gone already, nothing happens."""
        path = local_path(location)
        if path is not None and self.holds(location):
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, location: str, what: str) -> Path:
        path = local_path(self.check(location, what))
        assert path is not None  # noqa: S101 - check() has seen it
        return path
