"""The files of an extracted package, listed when it was verified and held against that list before each use.

Its files are hard-linked into environments, so whoever edits one in place there edits the package for everybody.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["FILES_LIST", "changed_files", "list_files", "read_list", "write_list"]

FILES_LIST = "files.json"
"""Beside the extracted package, in the folder that is named by the package's hash."""

_THREADS = 4
_PIECE_BYTES = 1 << 20


def list_files(folder: Path, counted: Callable[[int], None] = lambda _: None) -> dict[str, list[Any]]:
    """Every file below a folder by its relative path.

    Args:
        counted: Gets the bytes of each file once it is read; from several threads.

    Returns:
        ``["f", bytes, sha256]`` of a file, ``["l", target]`` of a link.
    """
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    with ThreadPoolExecutor(_THREADS) as pool:
        entries = pool.map(lambda path: _entry(path, counted), paths)
        return {path.relative_to(folder).as_posix(): found for path, found in zip(paths, entries, strict=True)}


def changed_files(
    folder: Path, listed: Mapping[str, list[Any]], counted: Callable[[int], None] = lambda _: None
) -> list[str]:
    """The listed files that are gone, or are not what they were; sorted. Files that came later do no harm."""

    def changed(item: tuple[str, list[Any]]) -> str:
        name, entry = item
        path = folder / name
        try:
            if entry[0] == "f" and path.lstat().st_size != entry[1]:
                return name
            return "" if _entry(path, counted) == entry else name
        except OSError:
            return name

    with ThreadPoolExecutor(_THREADS) as pool:
        return sorted(name for name in pool.map(changed, listed.items()) if name)


def write_list(path: Path, listed: Mapping[str, list[Any]]) -> None:
    """Keep a list."""
    path.write_text(json.dumps(dict(listed), sort_keys=True, separators=(",", ":")), encoding="utf-8")


def read_list(path: Path) -> dict[str, list[Any]] | None:
    """The kept list; None when there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found else None


def _entry(path: Path, counted: Callable[[int], None]) -> list[Any]:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return ["l", os.readlink(path)]  # noqa: PTH115 - as text
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as source:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
    counted(found.st_size)
    return ["f", found.st_size, digest.hexdigest()]
