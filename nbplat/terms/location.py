from __future__ import annotations

from pathlib import Path

from nbplat.errors import SetupError

__all__ = ["file_location", "local_path", "root_of"]

_MARK = "--nb-"


def local_path(location: str) -> Path:
    """A ``file:`` location or plain path as a local path; writers spell ``file:/a``, ``file:///a`` and ``/a``.

    Iceberg locations are not percent-encoded: what stands after the scheme is the path.

    Raises:
        SetupError: for a file on another store.
    """
    scheme, colon, rest = location.partition(":")
    if not colon or location.startswith("/"):
        return Path(location)
    if scheme != "file":
        raise SetupError(
            "store.unsupported",
            f"files on {scheme}: cannot be spliced yet",
            fix="use a warehouse on a local disk",
            where=location,
        )
    return Path("/" + rest.lstrip("/"))


def file_location(path: Path) -> str:
    """The location of an absolute local path, as Iceberg manifests spell it: ``file:///a/b``."""
    return f"file://{path}"


def root_of(path: str) -> str:
    """Folder and stem that a data file shares with every file we made from it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.removesuffix('.parquet').split(_MARK)[0]}"
