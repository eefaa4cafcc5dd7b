"""Declarations in files, ``envs/*.yml``, and the locks beside them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nbplat.declared.yaml_tree import MAX_TEXT_BYTES
from nbplat.environment.definition import Definition
from nbplat.environment.parse import parse_definition
from nbplat.errors import NotFound, RequestError, SetupError, did_you_mean

__all__ = ["FOLDER", "LOCK_SUFFIX", "SUFFIXES", "definition_files", "find_file", "lock_path", "read_file", "write_text"]

FOLDER = "envs"
SUFFIXES = (".yml", ".yaml")
LOCK_SUFFIX = ".lock"


def definition_files(folder: Path | str = FOLDER) -> tuple[Path, ...]:
    """The declarations of a folder, sorted by name; empty when there is no such folder."""
    found = Path(folder)
    return tuple(sorted(path for path in found.iterdir() if path.suffix in SUFFIXES)) if found.is_dir() else ()


def find_file(name: str, project: Path | str = ".") -> Path | None:
    """The file that a word names: a path as it is, or a name below ``envs/`` of the project; None: there is none."""
    if name.endswith(SUFFIXES):
        return Path(project, name)
    return next((path for suffix in SUFFIXES if (path := Path(project, FOLDER, name + suffix)).is_file()), None)


def lock_path(path: Path | str) -> Path:
    """The lock of a declaration's file: ``envs/ranker.lock``."""
    return Path(path).with_suffix(LOCK_SUFFIX)


def read_file(path: Path | str) -> Definition:
    """Read one declaration.

    Args:
        path: UTF-8 text. The name is what the key ``name`` says, or else the file's own without its suffix.

    Raises:
        NotFound: there is no such file.
        RequestError: as `parse_definition`; `where` begins with the file.
    """
    path = Path(path)
    text = read_text(path)
    try:
        return parse_definition(text, name=path.stem, folder=path.absolute().parent)
    except RequestError as exc:
        where = f"{path}, {exc.where}" if exc.where else str(path)
        raise RequestError(exc.code, exc.message, fix=exc.fix, where=where) from None


def read_text(path: Path) -> str:
    """The text of a declaration's file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        return data.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        known = [str(each) for each in definition_files(path.parent)]
        fix = did_you_mean(str(path), known) or f"make one: nbplat env init {path.stem}"
        raise NotFound("env.file", f"there is no file {path}", fix=fix) from None
    except UnicodeDecodeError as exc:
        raise RequestError(
            "env.file", f"byte {exc.start} is not UTF-8", fix="save the file as UTF-8", where=str(path)
        ) from None
    except OSError as exc:
        raise SetupError("env.file", f"{path} cannot be read: {exc.strerror}", fix="name another file") from None


def write_text(path: Path, text: str) -> None:
    """Put a text into a file in one step; folders are made.

    Raises:
        SetupError: it cannot be written; what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        fix = "name a file that can be written"
        raise SetupError("env.file", f"{path} cannot be written: {exc.strerror}", fix=fix) from None
