"""Takes a file that was uploaded for a session, where the driver shares no disk with the service."""

from __future__ import annotations

import base64
from pathlib import Path

__all__ = ["put_file"]

_FOLDER = "uploads"


def put_file(name: str, data: str) -> str:
    """Write a file into the driver's own folder; one of that name is replaced.

    Args:
        name: A plain name, without a folder.
        data: Base64.

    Returns:
        Its path here.

    Raises:
        ValueError: the name leads elsewhere, or the data is no base64.
    """
    if not name or name != Path(name).name or name in (".", ".."):
        raise ValueError(f"{name!r} is no plain file name")
    folder = Path.cwd() / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    path.write_bytes(base64.b64decode(data, validate=True))
    return str(path)
