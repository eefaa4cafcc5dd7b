"""Unpacks an archive: its hash first, and nothing outside of its folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from nbplat.environment.ports import Phase, Say
from nbplat.environment.store_faults import store_faults
from nbplat.errors import Conflict, DataError
from nbplat.remote.relocate import RelocationError, relocate

__all__ = ["archive_manifest", "relocate_for", "unpack"]

_COPY_BYTES = 1 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK"


def unpack(archive: Path, into: Path, sha256: str, say: Say, *, relocated: bool = True) -> Path:
    """Unpack an archive into a folder that must not exist; all of it or nothing.

    Args:
        sha256: What the archive must be.
        relocated: Put the folder's own path into the files that hold one.

    Returns:
        `into`.

    Raises:
        DataError: ``env.hash``: the archive is another one; ``env.unsafe``: it holds an absolute path, ``..``, a
            device, or a link that leads out; ``env.archive``: it ends early or is no archive of a known format;
            ``env.relocate``: it cannot work under that path.
        Conflict: ``env.exists``: `into` exists.
        SetupError: ``env.space``, ``env.readonly``.
    """
    if os.path.lexists(into):
        raise Conflict("env.exists", f"{into} exists", fix="name a folder that does not, or remove it")
    half = into.with_name(f".{into.name}.{os.getpid()}.half")
    with store_faults(into.parent), archive.open("rb") as file:
        _check_hash(file, archive, sha256, say)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(half, ignore_errors=True)
        try:
            half.mkdir()
            _extract(file, half, archive, say)
            if relocated:
                relocate_for(half, into)
            half.replace(into)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    return into


def archive_manifest(archive: Path) -> dict[str, Any]:
    """The manifest inside an archive; empty without one.

    Raises:
        DataError: ``env.archive``.
    """
    with archive.open("rb") as file, _broken_archive(archive):
        for name, _, content, _, _ in _entries(file):
            if name == ".nbplat/manifest.json" and content is not None:
                found: dict[str, Any] = json.loads(content.read())
                return found
    return {}


def _check_hash(file: IO[bytes], archive: Path, sha256: str, say: Say) -> None:
    size, found, done = os.fstat(file.fileno()).st_size, hashlib.sha256(), 0
    while data := file.read(_COPY_BYTES):
        found.update(data)
        done += len(data)
        say(Phase("check", done, size, what=archive.name))
    if found.hexdigest() != sha256:
        raise DataError(
            "env.hash",
            f"the archive is another one: its sha256 is {found.hexdigest()}, expected {sha256}",
            fix="it was changed or cut short on its way: pack and push it again, or pull from another place",
            where=str(archive),
        )
    file.seek(0)


def _extract(file: IO[bytes], root: Path, archive: Path, say: Say) -> None:
    size = os.fstat(file.fileno()).st_size
    # What was written so far: an entry below a link would land wherever the link leads.
    folders, links = {""}, set[str]()
    with _broken_archive(archive):
        for name, kind, content, mode, target in _entries(file):
            path = _checked(name, archive)
            if not path:
                continue
            _make_parents(root, path, folders, links, archive)
            full = root / path
            if kind == "folder":
                _refuse_link(path, links, archive)
                full.mkdir(exist_ok=True)
                folders.add(path)
            elif kind == "link":
                full.symlink_to(_checked_target(path, target, archive))
                links.add(path)
            elif kind == "same":
                _refuse_link(_checked(target, archive), links, archive)
                os.link(root / _checked(target, archive), full, follow_symlinks=False)
            elif kind == "file" and content is not None:
                _write(full, content, mode)
            else:
                raise _unsafe(archive, f"{name!r} is a device or another special file")
            with suppress(ValueError):
                say(Phase("unpack", min(file.tell(), size), size, what=path))


def _entries(file: IO[bytes]) -> Iterator[tuple[str, str, IO[bytes] | None, int, str]]:
    """(name, kind, content, mode, target) of each entry, in order."""
    start = file.read(4)
    file.seek(0)
    if start.startswith(_ZIP):
        yield from _zip_entries(file)
    elif start.startswith(_GZIP):
        with gzip.open(file) as plain:
            yield from _tar_entries(plain)
    elif start == _ZSTD:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as plain:
            yield from _tar_entries(plain)
    else:
        raise tarfile.ReadError("it is no tar.gz, tar.zst or zip")


def _tar_entries(plain: Any) -> Iterator[tuple[str, str, IO[bytes] | None, int, str]]:
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        for entry in tar:
            kinds = (
                (entry.isdir(), "folder"),
                (entry.issym(), "link"),
                (entry.islnk(), "same"),
                (entry.isreg(), "file"),
            )
            kind = next((kind for fits, kind in kinds if fits), "special")
            content = tar.extractfile(entry) if kind == "file" else None
            yield entry.name, kind, content, entry.mode, entry.linkname


def _zip_entries(file: IO[bytes]) -> Iterator[tuple[str, str, IO[bytes] | None, int, str]]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                yield entry.filename, "folder", None, mode, ""
            elif stat.S_ISLNK(mode):
                yield entry.filename, "link", None, mode, archive.read(entry).decode("utf-8", "surrogateescape")
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                with archive.open(entry) as content:
                    yield entry.filename, "file", content, mode, ""
            else:
                yield entry.filename, "special", None, mode, ""


def _checked(name: str, archive: Path) -> str:
    """A name inside the folder, normalised; empty for the folder itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise _unsafe(archive, f"{name!r} leads out of its folder")
    return "/".join(parts)


def _checked_target(path: str, target: str, archive: Path) -> str:
    depth = path.count("/")
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            break
    if not target or target.startswith("/") or depth < 0:
        raise _unsafe(archive, f"the link {path!r} leads out of its folder, to {target!r}")
    return target


def _make_parents(root: Path, path: str, folders: set[str], links: set[str], archive: Path) -> None:
    parent = path.rpartition("/")[0]
    if parent in folders:
        return
    _make_parents(root, parent, folders, links, archive)
    _refuse_link(parent, links, archive)
    (root / parent).mkdir(exist_ok=True)
    folders.add(parent)


def _refuse_link(path: str, links: set[str], archive: Path) -> None:
    if path in links:
        raise _unsafe(archive, f"{path!r} is a link and more is written through it")


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    # Exclusive: an entry that comes twice must not be written through what the first one made.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        while data := content.read(_COPY_BYTES):
            file.write(data)
        os.fchmod(file.fileno(), 0o755 if mode & 0o100 else 0o644)


def relocate_for(half: Path, into: Path) -> None:
    """Put a path into the files of an unpacked environment that is going to be moved there.

    Raises:
        DataError: ``env.relocate``.
    """
    if not (half / ".nbplat" / "relocate.json").is_file():
        return
    try:
        relocate(str(half), os.path.realpath(into))
    except RelocationError as error:
        raise DataError(
            "env.relocate",
            f"the environment cannot work in this folder: {error}",
            fix="name a folder with a shorter path",
            where=str(into),
        ) from None


@contextmanager
def _broken_archive(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, pa.ArrowException) as error:
        raise _broken(archive, error) from None
    except FileExistsError as error:
        raise _unsafe(archive, f"{error.filename!r} comes twice") from None
    except OSError as error:
        # What decompressors say of their input has no number of the operating system.
        if error.errno is not None:
            raise
        raise _broken(archive, error) from None


def _broken(archive: Path, error: Exception) -> DataError:
    return DataError(
        "env.archive",
        f"the archive cannot be unpacked: {error}",
        fix="pack it again, or pull it from another place",
        where=str(archive),
    )


def _unsafe(archive: Path, what: str) -> DataError:
    return DataError(
        "env.unsafe",
        f"the archive is not safe to unpack: {what}",
        fix="do not use it: it was not made by nbplat; ask whoever made it",
        where=str(archive),
    )
