"""An index of empty wheels for what is installed already: uv takes those versions and no others.

Without it uv would look for conda's version on the index, where it need not exist, and would add the dependencies that
the index's build of it has and conda's has not.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_stubs"]


def write_stubs(provided: Mapping[str, str], folder: Path) -> tuple[str, Path, dict[str, str]]:
    """Write a simple index of stubs.

    Args:
        provided: Normalised name -> version.

    Returns:
        Its address, the folder of its files, and what of `provided` is in it: versions that Python's rules do not
        know are left out.
    """
    files, simple = folder / "files", folder / "simple"
    files.mkdir()
    simple.mkdir()
    kept = {name: version for name, version in provided.items() if _is_version(version)}
    for name, version in kept.items():
        wheel = _stub(files, name, version)
        page = simple / name
        page.mkdir()
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        link = f'<a href="{wheel.as_uri()}#sha256={digest}">{wheel.name}</a>'
        (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>", encoding="utf-8")
    return simple.as_uri(), files, kept


def _stub(folder: Path, name: str, version: str) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        tags = "Wheel-Version: 1.0\nGenerator: nbplat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{stem}.dist-info/WHEEL", tags)
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def _is_version(version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        # A dash would end the version in the wheel's name.
        return bool(Version(version)) and re.fullmatch(r"[\w.+!]+", version) is not None
    except InvalidVersion:
        return False
