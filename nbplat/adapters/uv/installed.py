"""What an environment's own records say of installed distributions, and whether the files are still those."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbplat.errors import DataError

__all__ = ["installed_versions", "settle_installed"]

_LEFTOVERS = ("uv_cache.json", "uv_build.json")
"""What uv notes for itself: times of files on this machine, which would make every archive another one."""


def installed_versions(python: Path) -> dict[str, str]:
    """Distributions of an interpreter's environment, normalised name -> version; empty when it has none."""
    return {name: version for name, version, _ in _infos(python)}


def settle_installed(names: Iterable[str], python: Path) -> None:
    """Take out what is of this machine, and hold every file against the hash in its distribution's record.

    The hash of a wheel was checked when it came into uv's cache; what lay there since may have been changed.

    Raises:
        DataError: ``env.hash``: a file is not what the wheel had.
    """
    wanted = set(names)
    for name, version, info in _infos(python):
        if name in wanted:
            _take_out(info)
            odd = next(_changed(info), None)
            if odd is not None:
                raise DataError(
                    "env.hash",
                    f"{odd} of {name} {version} is not what its wheel has: uv's cache was changed",
                    fix=f"empty it for this package: uv cache clean {name}; then run it again",
                )


def _infos(python: Path) -> Iterator[tuple[str, str, Path]]:
    for info in sorted(python.parent.parent.glob("lib/python3*/site-packages/*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        yield re.sub(r"[-_.]+", "-", name).lower(), version, info


def _take_out(info: Path) -> None:
    found = [name for name in _LEFTOVERS if (info / name).exists()]
    if found:
        record = info / "RECORD"
        starts = tuple(f"{info.name}/{name}," for name in found)
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(starts)), encoding="utf-8")
        for name in found:
            (info / name).unlink()


def _changed(info: Path) -> Iterator[str]:
    """Paths below site-packages whose bytes are not those of the record."""
    with (info / "RECORD").open(encoding="utf-8", newline="") as record:
        for path, digest, *_ in csv.reader(record):
            kind, _, wanted = digest.partition("=")
            # What uv itself writes (scripts, RECORD) has no hash of the wheel's, or one of now.
            if kind == "sha256" and wanted != _sha256(info.parent / path):
                yield path


def _sha256(path: Path) -> str:
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
