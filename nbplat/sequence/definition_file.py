"""Definitions in files, ``sequences/*.yaml``: the same text as in a cell, for review and for the scheduler."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from nbplat.declared.yaml_tree import MAX_TEXT_BYTES
from nbplat.errors import NotFound, RequestError, SetupError, did_you_mean
from nbplat.sequence.definition import Definition
from nbplat.sequence.parse import parse_definition
from nbplat.sequence.write import to_yaml

__all__ = ["FOLDER", "SUFFIXES", "definition_files", "read_file", "write_file"]

FOLDER = "sequences"
SUFFIXES = (".yaml", ".yml")


def definition_files(folder: Path | str = FOLDER) -> tuple[Path, ...]:
    """The definition files of a folder, sorted by name; empty when there is no such folder."""
    found = Path(folder)
    return tuple(sorted(path for path in found.iterdir() if path.suffix in SUFFIXES)) if found.is_dir() else ()


def read_file(path: Path | str) -> Definition:
    """Read one definition.

    Args:
        path: UTF-8 text. The name is what the key ``name`` says, or else the file's own without its suffix.

    Returns:
        The definition; its `lines` begin with the file.

    Raises:
        NotFound: there is no such file.
        RequestError: as `parse_definition`; `where` begins with the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        known = [str(each) for each in definition_files(path.parent)]
        fix = did_you_mean(str(path), known) or f"write one with %sequence export, or name a file of {FOLDER}/"
        raise NotFound("sequence.file", f"there is no file {path}", fix=fix) from None
    except UnicodeDecodeError as exc:
        raise RequestError(
            "sequence.file", f"byte {exc.start} is not UTF-8", fix="save the file as UTF-8", where=str(path)
        ) from None
    except OSError as exc:
        raise SetupError("sequence.file", f"{path} cannot be read: {exc.strerror}", fix="name another file") from None
    try:
        found = parse_definition(text, otherwise=path.stem)
    except RequestError as exc:
        where = f"{path}, {exc.where}" if exc.where else str(path)
        raise RequestError(exc.code, exc.message, fix=exc.fix, where=where) from None
    # What is wrong with it may be found only later, against the tables it names.
    return replace(found, lines=MappingProxyType({key: f"{path}, {place}" for key, place in found.lines.items()}))


def write_file(definition: Definition, path: Path | str) -> Path:
    """Write one definition; a file that is there is replaced in one step, with its comments.

    Args:
        path: A file, or a folder, in which the file gets the definition's name. Folders are made.

    Returns:
        The file.

    Raises:
        SetupError: it cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        path = path / f"{definition.name}.yaml"
    text = to_yaml(definition, name=path.stem != definition.name)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        fix = "name a file that can be written"
        raise SetupError("sequence.file", f"{path} cannot be written: {exc.strerror}", fix=fix) from None
    return path
