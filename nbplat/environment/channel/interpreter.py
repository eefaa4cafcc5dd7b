"""One installed CPython, as far as packages for it need to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Interpreter"]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One installed CPython.

    Attributes:
        version: ``3.11.7``; `minor` is ``3.11``.
        base: Folder it was installed to; that of a virtual environment's base.
        executable: What was asked: may be a virtual environment's.
        subdir: Conda platform, ``linux-64``.
        stdlib: Folder of the standard library.
        include: Folder of its headers.
        libdir: Folder of its shared library.
        library: Name of its shared library, ``libpython3.11.so.1.0``; empty for a static build.
        build: Version, date of the build and compiler.
        sites: Folders where the interpreter finds installed distributions, in its order.
        markers: Values of the environment markers of PEP 508.
    """

    version: str
    minor: str
    base: Path
    executable: Path
    subdir: str
    stdlib: Path
    include: Path
    libdir: Path
    library: str
    build: str
    sites: tuple[Path, ...]
    markers: Mapping[str, str]

    @property
    def label(self) -> str:
        """``py311``, as conda's build strings say it."""
        return "py" + self.minor.replace(".", "")

    @property
    def pin(self) -> str:
        """What a package compiled for it depends on."""
        major, minor = self.minor.split(".")
        return f"python >={self.minor},<{major}.{int(minor) + 1}.0a0"

    @property
    def site(self) -> str:
        """Where conda packages of it keep their modules."""
        return f"lib/python{self.minor}/site-packages"

    @property
    def system(self) -> str:
        """First part of the platform: ``linux`` or ``osx``."""
        return self.subdir.split("-")[0]
