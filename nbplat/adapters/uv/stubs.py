"""An index of empty wheels for what is installed already: uv takes those versions and no others.

Without it uv would look for conda's version on the index, where it need not exist, and would add the dependencies that
the index's build of it has and conda's has not.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from nbplat.environment.ports import LocalDistribution

__all__ = ["write_stubs"]


def write_stubs(provided: Iterable[LocalDistribution], folder: Path) -> tuple[str, Path, tuple[str, ...]]:
    """Write a simple index of stubs.

    Returns:
        Its address, the folder of its files, and a pin for each of them. What has a version that Python's rules do
        not know is left out.
    """
    files, simple = folder / "files", folder / "simple"
    files.mkdir()
    simple.mkdir()
    kept = [one for one in provided if _is_version(one.version)]
    for one in kept:
        wheel = _stub(files, one)
        page = simple / one.name
        page.mkdir()
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        link = f'<a href="{wheel.as_uri()}#sha256={digest}">{wheel.name}</a>'
        (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>", encoding="utf-8")
    return simple.as_uri(), files, tuple(f"{one.name}=={one.version}" for one in kept)


def _stub(folder: Path, one: LocalDistribution) -> Path:
    stem = f"{one.name.replace('-', '_')}-{one.version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {one.name}", f"Version: {one.version}"]
    metadata += [f"Requires-Python: {one.python}"] if one.python else []
    metadata += [f"Provides-Extra: {extra}" for extra in one.known_extras]
    metadata += [f"Requires-Dist: {requirement}" for requirement in one.requires]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", "\n".join(metadata) + "\n")
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
