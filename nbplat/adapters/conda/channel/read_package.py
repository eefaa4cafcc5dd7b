"""Reads package files: what they say of themselves, and whether their content is what they say."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbplat.errors import DataError

__all__ = ["faults_of", "read_index"]

# Raised by the three libraries on bytes that are no package.
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, ValueError, KeyError, EOFError, OSError, IndexError)


def read_index(path: Path) -> dict[str, Any]:
    """``info/index.json`` of a package.

    Raises:
        DataError: ``env.channel.package``: it is no whole package.
    """
    try:
        found: dict[str, Any] = json.loads(_info(path)["info/index.json"])
        return found
    except (*_DAMAGE, _zstd_error()) as exc:
        raise DataError(
            "env.channel.package",
            f"{path.name} is no whole package ({type(exc).__name__})",
            fix="delete that file and make the channel again",
            where=str(path),
        ) from None


def faults_of(path: Path) -> list[str]:
    """What is wrong inside a package: files that are not what its list says; empty: nothing."""
    try:
        listed = {one["_path"]: one for one in json.loads(_info(path)["info/paths.json"])["paths"]}
        found = list(_compare(path, listed))
        return found + [f"{name} is listed and not there" for name in sorted(listed)]
    except (*_DAMAGE, _zstd_error()) as exc:
        return [f"it cannot be read to its end ({type(exc).__name__})"]


def _compare(path: Path, listed: dict[str, Any]) -> Iterator[str]:
    """Compare each member with the list; what is met is taken off the list."""
    with _payload(path) as tar:
        for member in tar:
            if member.isdir() or member.name.startswith("info/"):
                continue
            entry = listed.pop(member.name, None)
            if entry is None:
                yield f"{member.name} is there and not listed"
            elif entry["path_type"] == "hardlink" and member.isreg():
                content = tar.extractfile(member)
                if content is None or hashlib.file_digest(content, "sha256").hexdigest() != entry["sha256"]:  # type: ignore[arg-type]
                    yield f"{member.name} is not what the list says"
            elif (entry["path_type"] == "softlink") != member.issym():
                yield f"{member.name} is of another kind than the list says"


def _info(path: Path) -> dict[str, bytes]:
    """The files of the package's own folder ``info``."""
    found = {}
    with _open(path, "info-") as tar:
        for member in tar:
            if member.name.startswith("info/") and member.isreg() and (content := tar.extractfile(member)):
                found[member.name] = content.read()
    return found


@contextmanager
def _payload(path: Path) -> Iterator[tarfile.TarFile]:
    with _open(path, "pkg-") as tar:
        yield tar


@contextmanager
def _open(path: Path, part: str) -> Iterator[tarfile.TarFile]:
    if path.name.endswith(".tar.bz2"):
        with tarfile.open(path, "r|bz2") as tar:
            yield tar
        return
    import zstandard

    with zipfile.ZipFile(path) as archive:
        name = next(one for one in archive.namelist() if one.startswith(part) and one.endswith(".tar.zst"))
        with (
            archive.open(name) as packed,
            tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(packed), mode="r|") as tar,
        ):
            yield tar


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError
