"""The files of an archive before they are read: where each comes from and what it must be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nbplat.errors import DataError

__all__ = ["Layer", "PackedFile", "checked_path", "in_order", "is_machine_code", "layer_key"]

# Part of the name of every kept layer: another one, and all are made anew.
_MEMBER_FORMAT = 1
_ODD = re.compile(r"//|/\.\.?/|\\|\0")
_MACHINE_CODE = re.compile(r"\.(so|dylib|a)(\.[0-9.]+)?$")


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file or link of an archive.

    Attributes:
        path: Inside the archive, normalised; that of a folder ends in a slash.
        folder: Folder that `origin` starts from: an extracted package, or the prefix; empty for what we write.
        origin: Path below `folder`.
        sha256: Hash of the package's own bytes; empty where the package does not say.
        placeholder: What stands for the prefix in it; empty: nothing.
        binary: Whether it keeps its length when the prefix is put in.
        target: Of a link, relative; empty: it is a file.
        content: Of what we write ourselves.
        executable: Of what we write ourselves.
    """

    path: str
    folder: str = ""
    origin: str = ""
    sha256: str = ""
    placeholder: str = ""
    binary: bool = False
    target: str = ""
    content: bytes = b""
    executable: bool = False

    def identity(self) -> str:
        """What tells it from another one, in one line."""
        if self.target:
            return f"{self.path}\0->{self.target}"
        if not self.folder:
            return f"{self.path}\0={hashlib.sha256(self.content).hexdigest()}{'x' if self.executable else ''}"
        return f"{self.path}\0{self.sha256 or self.origin}\0{self.placeholder}{'b' if self.binary else ''}"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one package puts into an archive: compressed once, kept, put into many archives.

    Attributes:
        name: As people read it: ``numpy 2.4.6``; ``numpy 2.4.6, compiled``.
        kind: ``conda``, ``pip``, ``local`` or ``compiled``.
        package: Name of the package.
        files: In order of path.
        key: Names the content, 64 hex digits.
        size: Bytes before compression, as far as its package says; for progress.
    """

    name: str
    kind: str
    package: str
    files: tuple[PackedFile, ...]
    key: str
    size: int = 0


def layer_key(identity: str, files: tuple[PackedFile, ...]) -> str:
    """Name the content of a layer: of whose package it is, and which files of it."""
    found = hashlib.sha256(f"{_MEMBER_FORMAT}\0{identity}\n".encode())
    found.update("\n".join(file.identity() for file in files).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def is_machine_code(path: str) -> bool:
    """Whether a file is a library of machine code, by its name."""
    return bool(_MACHINE_CODE.search(path))


def in_order(files: Iterable[PackedFile]) -> list[tuple[bool, list[PackedFile]]]:
    """Files as they follow each other in a layer: by path, libraries of machine code (True) after all others."""
    kinds: tuple[list[PackedFile], list[PackedFile]] = ([], [])
    for file in files:
        kinds[is_machine_code(file.path)].append(file)
    return [(bool(kind), sorted(found, key=lambda file: file.path)) for kind, found in enumerate(kinds) if found]


def checked_path(path: str, package: str) -> str:
    """A path that stays inside of the prefix.

    Raises:
        DataError: ``env.unsafe``: it does not.
    """
    if not path or _ODD.search(f"/{path}/"):
        raise DataError(
            "env.unsafe",
            f"package {package} wants to write {path!r}, which leads out of the environment",
            fix=f"take another build of {package}, and tell its channel",
        )
    return path
