"""Files between a driver and a service that share no disk, in pieces."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from .arrow_pages import page_path

__all__ = ["page_piece", "put_file"]

_PIECE_BYTES = 8 << 20


def put_file(folder: Path, name: str, at: int, data: str) -> str:
    """Write a piece of a file into a folder, which is made when missing.

    Args:
        name: A plain name, without a folder.
        at: Place of the piece in the file; 0 begins it anew.
        data: Base64.

    Returns:
        The file's path.

    Raises:
        ValueError: the name leads elsewhere, or the data is no base64.
    """
    if not name or name != Path(name).name or name in (".", ".."):
        raise ValueError(f"{name!r} is no plain file name")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    with path.open("r+b" if at else "wb") as out:
        out.seek(at)
        out.write(base64.b64decode(data, validate=True))
        out.truncate()
    return str(path)


def page_piece(folder: str, statement: int, page: int, at: int) -> dict[str, Any]:
    """A piece of a page of a statement's rows: ``size`` of the page and ``data`` as base64.

    Raises:
        FileNotFoundError: it is not there, or not any more.
    """
    path = page_path(folder, statement, page)
    with path.open("rb") as file:
        file.seek(at)
        return {"size": path.stat().st_size, "data": base64.b64encode(file.read(_PIECE_BYTES)).decode()}
