"""The manifest of an archive, wherever it lies: beside it, at the place it was pushed to, or inside."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from nbplat.environment.ports import Depot
from nbplat.environment.ship import manifest_at, shipped_at
from nbplat.errors import DataError, NotFound

__all__ = ["read_manifest"]

_INSIDE = ".nbplat/manifest.json"
_MANIFEST_BYTES = 64 << 20


def read_manifest(archive: str, depot: Depot) -> Mapping[str, Any]:
    """The manifest of an archive.

    Args:
        archive: URI that a push gave, or the path of a file.

    Raises:
        NotFound: ``env.shipped``, ``env.against``: nothing lies there.
        DataError: ``env.manifest``: it has none, or one that cannot be read.
    """
    if "://" in archive and not archive.startswith("file:"):
        shipped_at(archive, depot)
        found = manifest_at(archive, depot)
    else:
        found = _of_file(Path(archive.removeprefix("file://")).expanduser())
    if not found or not {"python", "platform", "packages"} <= found.keys():
        raise DataError(
            "env.manifest",
            "the archive does not say what is in it",
            fix="pack it with `nbplat env pack`, which writes a manifest beside and inside",
            where=archive,
        )
    return found


def _of_file(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise NotFound("env.against", f"there is no archive {path}", fix="pack one: nbplat env pack NAME")
    beside = path.with_name(path.name + ".json")
    try:
        if beside.is_file():
            return _parsed(beside.read_bytes())
        return _inside(path)
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile, EOFError) as exc:
        raise DataError(
            "env.manifest",
            f"the archive or its manifest cannot be read: {exc or type(exc).__name__}",
            fix="pack it again: nbplat env pack NAME",
            where=str(path),
        ) from None


def _inside(path: Path) -> Mapping[str, Any]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return _parsed(archive.read(_INSIDE)) if _INSIDE in archive.namelist() else {}
    if path.name.endswith(".tar.zst"):
        # Only the archive adapter reads it; the manifest that is made with it tells the same.
        return {}
    # It lies at the start: no more of a large archive is read than its head.
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if member.name.removeprefix("./") == _INSIDE:
                content: IO[bytes] | None = archive.extractfile(member)
                return _parsed(content.read(_MANIFEST_BYTES)) if content is not None else {}
    return {}


def _parsed(text: bytes) -> Mapping[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}
