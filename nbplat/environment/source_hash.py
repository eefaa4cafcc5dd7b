"""Names the source of a local package by its content, so that a wheel is built once per source."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nbplat.errors import RequestError

__all__ = ["source_hash"]

# What tools leave in a source folder and no build reads.
_LEFT_OUT = frozenset(
    ".git .hg .svn __pycache__ .venv venv .tox .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis "
    ".ipynb_checkpoints .eggs .idea .vscode node_modules .DS_Store .coverage".split()
)
_LEFT_OUT_ON_TOP = frozenset({"build", "dist"})
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", ".egg-info")
_PIECE_BYTES = 1 << 20


def source_hash(path: Path) -> str:
    """Name what a build of this folder, or this wheel, would read.

    Times, owners and the folder's own place do not count; neither does what tools leave behind (``build``, ``dist``,
    caches, version control).

    Args:
        path: A folder with a ``pyproject.toml`` (or a ``setup.py``), or a wheel.

    Returns:
        64 hex digits over names, whether executable, and bytes.

    Raises:
        RequestError: ``env.local``: nothing there that can be installed.
    """
    if path.is_file() and path.suffix == ".whl":
        return _file_digest(path).hex()
    if not path.is_dir() or not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise RequestError(
            "env.local",
            f"there is no package at {path}",
            fix="give a folder with a pyproject.toml, or a wheel (.whl), under `nbplat: local:`",
            where=str(path),
        )
    whole = hashlib.sha256()
    for name, file in sorted(_files(path, "")):
        if file.is_symlink():
            kind, digest = b"l", hashlib.sha256(os.fsencode(os.readlink(file))).digest()  # noqa: PTH115
        else:
            kind = b"x" if file.stat().st_mode & stat.S_IXUSR else b"f"
            digest = _file_digest(file)
        whole.update(kind + len(os.fsencode(name)).to_bytes(4, "big") + os.fsencode(name) + digest)
    return whole.hexdigest()


def _files(folder: Path, below: str) -> Iterator[tuple[str, Path]]:
    for entry in folder.iterdir():
        if entry.name in _LEFT_OUT or entry.name.endswith(_LEFT_OUT_ENDINGS):
            continue
        if not below and entry.name in _LEFT_OUT_ON_TOP:
            continue
        name = f"{below}{entry.name}"
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, f"{name}/")
        elif entry.is_symlink() or entry.is_file():
            yield name, entry


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.digest()
