"""What a conda package holds, before its bytes are written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import content_hash

__all__ = [
    "PLACEHOLDER",
    "RECIPE",
    "Package",
    "PackageFile",
    "build_string",
    "check_path",
    "content_digest",
    "prefix_mode",
]

PLACEHOLDER = ("/opt/nbplat_channel" + "_placehold" * 24)[:255]
"""Stands for the folder of an environment in every file of a package; an installer writes the real one over it.

As long as conda's own (255), so that prefixes of any length fit where a file is binary.
"""

# Part of every build string: another way to write packages makes other packages.
RECIPE = 1


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file of a package.

    Attributes:
        path: Where it is installed, relative to the environment, ``lib/python3.11/os.py``.
        read: Gives its bytes; called once.
        mode: Permission bits, ``0o644`` or ``0o755``.
        link: Target of a symbolic link, relative to it; empty: an ordinary file.
    """

    path: str
    read: Callable[[], bytes]
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """One package without its files.

    Attributes:
        subdir: ``linux-64`` or ``noarch``.
        label: First part of the build string: ``py311``, ``py``; empty for what has no Python.
        tail: Last part of the build string, ``cpython``.
        entry_points: Console scripts that an installer makes for a noarch package, ``name = module:function``.
        license: SPDX expression or what the metadata says; empty when it says nothing.
        about: ``summary``, ``home`` and other fields of ``about.json``.
        purls: Package URLs, ``pkg:pypi/numpy@2.4.6``.
        licenses: Licence texts by file name, kept beside the metadata of the package.
    """

    name: str
    version: str
    subdir: str
    label: str = ""
    tail: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    license: str = ""
    about: tuple[tuple[str, str], ...] = ()
    purls: tuple[str, ...] = ()
    licenses: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @property
    def noarch(self) -> bool:
        return self.subdir == "noarch"

    def index(self, build: str, build_number: int, timestamp_ms: int) -> dict[str, Any]:
        """The content of ``info/index.json``."""
        record: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "build": build,
            "build_number": build_number,
            "depends": list(self.depends),
            "constrains": list(self.constrains),
            "subdir": self.subdir,
            "timestamp": timestamp_ms,
        }
        if self.license:
            record["license"] = self.license
        if self.purls:
            record["purls"] = list(self.purls)
        if self.noarch:
            return {**record, "noarch": "python"}
        system, arch = self.subdir.split("-", 1)
        return {**record, "platform": system, "arch": {"64": "x86_64"}.get(arch, arch)}


def content_digest(package: Package, paths: list[dict[str, Any]], modes: list[list[Any]]) -> str:
    """8 hex digits over what a package holds and says of itself.

    Args:
        paths: Entries of ``paths.json``.
        modes: Path, permission bits and link target of every file.
    """
    content = {
        "recipe": RECIPE,
        "index": package.index("", 0, 0),
        "label": [package.label, package.tail],
        "entry_points": list(package.entry_points),
        "about": [list(pair) for pair in package.about],
        "licenses": [[name, hashlib.sha256(text).hexdigest()] for name, text in package.licenses],
        "paths": paths,
        "modes": modes,
    }
    return content_hash(content)[:8]


def build_string(package: Package, digest: str, build_number: int) -> str:
    """``py311h0123abcd_0``: a build is named by its content, so that one name never stands for two contents."""
    tail = f"_{package.tail}" if package.tail else ""
    return f"{package.label}h{digest}_{build_number}{tail}"


def prefix_mode(content: bytes) -> str:
    """How an installer must write the real prefix into a file: ``text``, ``binary``, or empty: not at all."""
    if PLACEHOLDER.encode() not in content:
        return ""
    return "binary" if b"\0" in content else "text"


def check_path(path: str, package: str) -> str:
    """Give back a path that stays inside the environment.

    Raises:
        RequestError: ``env.channel.path``: it is absolute or leaves the folder.
    """
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise RequestError(
            "env.channel.path",
            f"{package} holds a file outside its own folder: {path}",
            fix="build the wheel again without it; such a file is never packaged",
        )
    return path
