"""Opening locations with pyarrow's file systems, in whatever process needs them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import pyarrow.fs

from .failure import KernelError

__all__ = ["filesystem"]


def filesystem(location: str, storage: Mapping[str, str]) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a location, and the location's path in it.

    Args:
        location: A plain path, ``file:/…`` or ``file:///…``.
        storage: Options of the object store; not used for local files.

    Raises:
        KernelError: ``storage.scheme``, a scheme that this process cannot open.
    """
    parts = urlsplit(location)
    if parts.scheme in ("", "file"):
        path = unquote(parts.path) if parts.scheme else location
        return pyarrow.fs.LocalFileSystem(use_mmap=False), path
    raise KernelError(
        "storage.scheme",
        f"locations of scheme {parts.scheme!r} cannot be opened here",
        fix="use a local folder",
        where=location,
        kind="SetupError",
    )
