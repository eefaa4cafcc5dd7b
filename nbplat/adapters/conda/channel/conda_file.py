"""Writes ``.conda`` files: the same content gives the same bytes on every machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.channel.package import (
    PLACEHOLDER,
    Package,
    PackageFile,
    build_string,
    check_path,
    prefix_mode,
)

__all__ = ["WrittenPackage", "write_package"]

# 2023-11-14: no clock of the machine goes into a package. Solvers use it only between equal versions and builds.
_TIME_S = 1_700_000_000
_ZIP_TIME = (2023, 11, 14, 0, 0, 0)
_LEVEL = 3
_COPY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """A package file as it lies in a channel.

    Attributes:
        file_name: ``numpy-2.4.6-py311h0123abcd_0.conda``, in the folder `subdir`.
        size: Bytes of the file.
        installed: Bytes of the files inside.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    file_name: str
    sha256: str
    size: int
    installed: int


def write_package(
    package: Package, files: Iterable[PackageFile], into: Path, scratch: Path, *, build_number: int = 0
) -> WrittenPackage:
    """Write ``<into>/<subdir>/<name>-<version>-<build>.conda`` under a temporary name and rename it.

    Args:
        into: Folder of the channel.
        scratch: Folder on the same disk for the temporary files; a kill leaves them there and nowhere else.

    Raises:
        RequestError: ``env.channel.path``.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    payload = scratch / f"{package.name}-{package.version}.payload-{os.getpid()}"
    whole = payload.with_suffix(f".conda-{os.getpid()}")
    try:
        paths = _write_payload(package, files, payload)
        build = build_string(package, paths, build_number)
        stem = f"{package.name}-{package.version}-{build}"
        info = _info(package, paths, build, build_number)
        _zip(whole, stem, payload, info)
        target = into / package.subdir / f"{stem}.conda"
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = _digest(whole)
        whole.replace(target)
    finally:
        payload.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)
    return WrittenPackage(
        package.name,
        package.version,
        build,
        build_number,
        package.subdir,
        target.name,
        digest,
        size,
        sum(entry.get("size_in_bytes", 0) for entry in paths if entry["path_type"] == "hardlink"),
    )


def _write_payload(package: Package, files: Iterable[PackageFile], target: Path) -> list[dict[str, Any]]:
    import zstandard

    # With threads the result does not depend on how many there are; without it would.
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=max(1, min(os.cpu_count() or 1, 4)))
    with (
        target.open("wb") as raw,
        compressor.stream_writer(raw, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar,
    ):
        return [_add(tar, package, file) for file in sorted(files, key=lambda one: one.path)]


def _add(tar: tarfile.TarFile, package: Package, file: PackageFile) -> dict[str, Any]:
    member = tarfile.TarInfo(check_path(file.path, package.name))
    member.mtime = _TIME_S
    member.mode = file.mode
    if file.link:
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, file.link, 0o777
        tar.addfile(member)
        return {"_path": file.path, "path_type": "softlink"}
    content = file.read()
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
    entry: dict[str, Any] = {
        "_path": file.path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    if mode := prefix_mode(content):
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": mode}
    return entry


def _info(package: Package, paths: list[dict[str, Any]], build: str, build_number: int) -> bytes:
    import zstandard

    about = dict(package.about) | ({"license": package.license} if package.license else {})
    files: dict[str, bytes] = {
        "info/about.json": _json(about),
        "info/files": "".join(f"{entry['_path']}\n" for entry in paths).encode(),
        "info/index.json": _json(package.index(build, build_number, _TIME_S * 1000)),
        "info/paths.json": _json({"paths": paths, "paths_version": 1}),
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
        with payload.open("rb") as source, archive.open(_member(f"pkg-{stem}.tar.zst"), "w", force_zip64=False) as out:
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
