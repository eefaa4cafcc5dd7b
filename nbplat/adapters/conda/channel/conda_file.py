"""Writes ``.conda`` files: the same content gives the same bytes on every machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbplat.environment.channel.elf import read_elf
from nbplat.environment.channel.package import (
    PLACEHOLDER,
    Package,
    PackageFile,
    build_string,
    check_path,
    content_digest,
    prefix_mode,
)
from nbplat.environment.channel.request import ChannelPackage

__all__ = ["write_package"]

# 2023-11-14: no clock of the machine goes into a package. Solvers use it only between equal versions and builds.
_TIME_S = 1_700_000_000
_ZIP_TIME = (2023, 11, 14, 0, 0, 0)
_LEVEL = 3
_COPY_BYTES = 4 << 20
_GLIBC = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")
_C_LIBRARY = re.compile(r"(ld-linux|ld64|linux-vdso|lib(c|m|dl|rt|pthread|util|resolv|nsl|anl|crypt|gcc_s|stdc\+\+)\.)")


class _Seen:
    """What the binaries of a package ask of a machine, gathered while they pass."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.modes: list[list[Any]] = []
        self._needed: set[str] = set()
        self._names: set[str] = set()
        self._glibc = (0, 0)

    def file(self, path: str, content: bytes) -> None:
        self._names.add(path.rsplit("/", 1)[-1])
        if (elf := read_elf(content)) is not None:
            self._needed.update(elf.needed)
            self._glibc = max([self._glibc, *((int(one[1]), int(one[2])) for one in _GLIBC.finditer(content))])

    @property
    def libraries(self) -> tuple[str, ...]:
        return tuple(sorted(one for one in self._needed - self._names if not _C_LIBRARY.match(one)))

    @property
    def depends(self) -> tuple[str, ...]:
        major, minor = self._glibc
        return (f"__glibc >={major}.{minor}",) if major else ()


def write_package(
    package: Package,
    files: Iterable[PackageFile],
    into: Path,
    scratch: Path,
    *,
    number: Callable[[str], int] = lambda digest: 0,
    origin: str = "",
) -> ChannelPackage:
    """Write ``<into>/<subdir>/<name>-<version>-<build>.conda`` under a temporary name and rename it.

    What the binaries need of the C library becomes a dependency on ``__glibc``.

    Args:
        into: Folder of the channel.
        scratch: Folder on the same disk for the temporary files; a kill leaves them there and nowhere else.
        number: Gives the build number for the digest of the content.

    Raises:
        RequestError: ``env.channel.path``.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    payload = scratch / f"{package.name}-{package.version}.payload-{os.getpid()}"
    whole = scratch / f"{package.name}-{package.version}.conda-{os.getpid()}"
    try:
        seen = _write_payload(package, files, payload)
        package = replace(package, depends=tuple(sorted((*package.depends, *seen.depends))))
        digest = content_digest(package, seen.entries, seen.modes)
        build_number = number(digest)
        build = build_string(package, digest, build_number)
        stem = f"{package.name}-{package.version}-{build}"
        _zip(whole, stem, payload, _info(package, seen, build, build_number))
        target = into / package.subdir / f"{stem}.conda"
        target.parent.mkdir(parents=True, exist_ok=True)
        sha256, size = _digest(whole)
        whole.replace(target)
    finally:
        payload.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)
    return ChannelPackage(
        name=package.name,
        version=package.version,
        build=build,
        build_number=build_number,
        subdir=package.subdir,
        file_name=target.name,
        sha256=sha256,
        size=size,
        installed=sum(entry.get("size_in_bytes", 0) for entry in seen.entries),
        depends=package.depends,
        libraries=seen.libraries,
        origin=origin,
    )


def _write_payload(package: Package, files: Iterable[PackageFile], target: Path) -> _Seen:
    import zstandard

    seen = _Seen()
    # With threads the result does not depend on how many there are; without any it is another one.
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=max(1, min(os.cpu_count() or 1, 4)))
    with (
        target.open("wb") as raw,
        compressor.stream_writer(raw, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar,
    ):
        for file in sorted(files, key=lambda one: one.path):
            seen.entries.append(_add(tar, package, file, seen))
            seen.modes.append([file.path, file.mode, file.link])
    return seen


def _add(tar: tarfile.TarFile, package: Package, file: PackageFile, seen: _Seen) -> dict[str, Any]:
    member = tarfile.TarInfo(check_path(file.path, package.name))
    member.mtime = _TIME_S
    member.mode = file.mode
    if file.link:
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, file.link, 0o777
        tar.addfile(member)
        seen.file(file.path, b"")
        return {"_path": file.path, "path_type": "softlink"}
    content = file.read()
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
    seen.file(file.path, content)
    entry: dict[str, Any] = {
        "_path": file.path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    if mode := prefix_mode(content):
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": mode}
    return entry


def _info(package: Package, seen: _Seen, build: str, build_number: int) -> bytes:
    import zstandard

    about: dict[str, Any] = dict(package.about)
    if package.license:
        about["license"] = package.license
    if seen.libraries:
        about["system_libraries"] = list(seen.libraries)
    files: dict[str, bytes] = {
        "info/about.json": _json(about),
        "info/files": "".join(f"{entry['_path']}\n" for entry in seen.entries).encode(),
        "info/index.json": _json(package.index(build, build_number, _TIME_S * 1000)),
        "info/paths.json": _json({"paths": seen.entries, "paths_version": 1}),
    }
    if package.noarch:
        link = {"noarch": {"type": "python", "entry_points": list(package.entry_points)}, "package_metadata_version": 1}
        files["info/link.json"] = _json(link)
    files |= {f"info/licenses/{name}": text for name, text in package.licenses}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mtime, member.size = _TIME_S, len(content)
            tar.addfile(member, io.BytesIO(content))
    packed: bytes = zstandard.ZstdCompressor(level=_LEVEL).compress(out.getvalue())
    return packed


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _zip(target: Path, stem: str, payload: Path, info: bytes) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member("metadata.json"), b'{"conda_pkg_format_version": 2}')
        archive.writestr(_member(f"info-{stem}.tar.zst"), info)
        member = _member(f"pkg-{stem}.tar.zst")
        member.file_size = payload.stat().st_size  # Known beforehand, so that only what is over 2 GB needs zip64.
        with payload.open("rb") as source, archive.open(member, "w") as out:
            while block := source.read(_COPY_BYTES):
                out.write(block)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _ZIP_TIME)
    member.external_attr = 0o644 << 16
    member.create_system = 3
    return member


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
