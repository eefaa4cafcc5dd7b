"""Which files an installed wheel put into a prefix, by its own ``RECORD``; equal in every prefix."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbplat.environment.packing.files import PackedFile, checked_path
from nbplat.environment.packing.scripts import portable_script
from nbplat.errors import DataError, RequestError

__all__ = ["Installed", "installed_wheels", "wheel_files"]

# What installers note of this machine: where a wheel came from, when it was cached.
_OF_THIS_MACHINE = ("direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED")


@dataclass(frozen=True, slots=True)
class Installed:
    """One distribution in ``site-packages`` that no conda package brought.

    Attributes:
        name: Normalised.
        info: Its ``.dist-info`` folder, from the prefix.
    """

    name: str
    version: str
    info: str


def installed_wheels(prefix: Path, python: str, conda: Iterable[str]) -> list[Installed]:
    """The distributions that came by wheels; in order of name.

    Args:
        python: ``3.11``.
        conda: Paths that conda packages brought.

    Raises:
        DataError: ``env.prefix``: one is installed without a ``RECORD``.
    """
    site = f"lib/python{python}/site-packages"
    theirs = {path.rpartition("/")[0] for path in conda if ".dist-info/" in path}
    found = []
    for info in sorted((prefix / site).glob("*.dist-info")):
        relative = f"{site}/{info.name}"
        if relative in theirs:
            continue
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        if not (info / "RECORD").is_file():
            raise _broken(prefix, f"{info.name} has no RECORD")
        found.append(Installed(re.sub(r"[-_.]+", "-", name).lower(), version, relative))
    return sorted(found, key=lambda one: one.name)


def wheel_files(wheel: Installed, prefix: Path) -> list[PackedFile]:
    """Its files as they go into an archive, in order of path.

    Scripts get a first line that works anywhere; notes of this machine are left out; the ``RECORD`` says so.

    Raises:
        RequestError: ``env.editable``: it is installed in place, from a folder of this machine.
        DataError: ``env.prefix``: files are gone. ``env.unsafe``.
    """
    _refuse_editable(wheel, prefix)
    files = []
    for path, sha256 in _recorded(wheel, prefix):
        if path.endswith((".pyc", "/RECORD")) or (path.startswith(wheel.info) and path.endswith(_OF_THIS_MACHINE)):
            continue
        files.append(_file(path, sha256, prefix, wheel))
    record = PackedFile(f"{wheel.info}/RECORD", content=_record(wheel, files).encode())
    return sorted([*files, record], key=lambda file: file.path)


def _file(path: str, sha256: str, prefix: Path, wheel: Installed) -> PackedFile:
    if path.startswith("bin/") or not sha256:
        try:
            data = (prefix / path).read_bytes()
        except OSError:
            raise _broken(prefix, f"{path} of {wheel.name} is gone") from None
        if path.startswith("bin/") and (script := portable_script(data, str(prefix).encode())) is not None:
            return PackedFile(path, content=script, executable=True)
        sha256 = sha256 or hashlib.sha256(data).hexdigest()
    return PackedFile(path, str(prefix), path, sha256)


def _recorded(wheel: Installed, prefix: Path) -> Iterator[tuple[str, str]]:
    site = posixpath.dirname(wheel.info)
    with (prefix / wheel.info / "RECORD").open(encoding="utf-8", newline="") as text:
        for row in csv.reader(text):
            if not row:
                continue
            path = posixpath.normpath(posixpath.join(site, row[0]))
            algorithm, _, digest = (row[1] if len(row) > 1 else "").partition("=")
            known = algorithm == "sha256" and digest
            yield checked_path(path, wheel.name), _hex(digest) if known else ""


def _record(wheel: Installed, files: Iterable[PackedFile]) -> str:
    site = posixpath.dirname(wheel.info)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for file in files:
        sha256 = file.sha256 or hashlib.sha256(file.content).hexdigest()
        size = len(file.content) if file.content else ""
        rows.writerow([posixpath.relpath(file.path, site), f"sha256={_base64(sha256)}", size])
    rows.writerow([posixpath.relpath(f"{wheel.info}/RECORD", site), "", ""])
    return out.getvalue()


def _refuse_editable(wheel: Installed, prefix: Path) -> None:
    try:
        url = json.loads((prefix / wheel.info / "direct_url.json").read_bytes())
        editable = bool(url.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, AttributeError):
        return
    if editable:
        raise RequestError(
            "env.editable",
            f"{wheel.name} is installed in place, from a folder that workers do not have",
            fix="declare it under `nbplat: local:` and build again: it becomes a wheel of its own",
        )


def _hex(digest: str) -> str:
    try:
        return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
    except ValueError:
        return ""


def _base64(digest: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()


def _broken(prefix: Path, what: str) -> DataError:
    return DataError(
        "env.prefix",
        f"the environment is not whole: {what}",
        fix="have it mended: nbplat env verify --repair",
        where=str(prefix),
    )
