"""Opening locations with pyarrow's file systems, in whatever process needs them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.fs

from .failure import KernelError

__all__ = ["filesystem"]

_LOCAL = pyarrow.fs.LocalFileSystem()


def filesystem(location: str, storage: Mapping[str, str]) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a location, and the location's path in it.

    Args:
        location: A plain path, ``file:/…`` or ``file:///…``.
        storage: Options of the object store; not used for local files.

    Raises:
        KernelError: ``storage.scheme``, a scheme that this process cannot open.
    """
    scheme, colon, rest = location.partition(":")
    if not colon or location.startswith("/"):
        return _LOCAL, location
    if scheme == "file":
        # Iceberg locations are not percent-encoded: what stands after the scheme is the path.
        return _LOCAL, "/" + rest.lstrip("/")
    raise KernelError(
        "storage.scheme",
        f"locations of scheme {scheme!r} cannot be opened here",
        fix="use a local folder",
        where=location,
        kind="SetupError",
    )
