"""What a channel is asked to hold, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ChannelPackage", "ChannelReport", "ChannelRequest"]


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """What to put into a channel, and what to take out.

    Attributes:
        folder: Of the channel; made when there is none.
        interpreter: Path of the interpreter that the packages are for, and whose installed distributions are meant;
            empty: the one that runs this.
        python: Whether that interpreter itself becomes the package ``python``.
        installed: Installed distributions, with all that they need: ``pandas``, ``ray[data]``.
        wheels: Folders of wheels, or wheels.
        requirements: A requirements file: only what it names, with all that that needs, is taken from the wheels and
            from what is installed. Empty: none.
        without: Needs to leave out of every package, by name: what does not work without them is known to the asker.
        remove: Packages to take out first: ``NAME`` or ``NAME=VERSION``.
    """

    folder: Path
    interpreter: str = ""
    python: bool = True
    installed: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    requirements: str = ""
    without: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelPackage:
    """One package of a channel.

    Attributes:
        subdir: ``linux-64`` or ``noarch``; the folder that it lies in.
        size: Bytes of the file; `installed` of the files inside.
        depends: Conda match specs.
        libraries: Shared libraries that it expects of the machine: ``libssl.so.3``; those of the C library are not
            among them.
        origin: What it was made from: an interpreter's folder, a wheel, a folder of installed packages.
        damaged: The file has another size than the one that was written.
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
    depends: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    origin: str = ""
    damaged: bool = False

    @property
    def text(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """What one `make` did, and what the channel holds now.

    Attributes:
        added: Packages that were written.
        kept: Packages that were asked for and lay there already.
        removed: File names that were taken out.
        notes: What a person should know: needs that nothing in the channel meets, extras that are not known.
        packages: All that the channel holds, in order of name and version.
    """

    folder: str
    added: tuple[ChannelPackage, ...]
    kept: tuple[ChannelPackage, ...]
    removed: tuple[str, ...]
    notes: tuple[str, ...]
    packages: tuple[ChannelPackage, ...]

    @property
    def url(self) -> str:
        return Path(self.folder).absolute().as_uri()

    @property
    def size(self) -> int:
        """Bytes of all packages."""
        return sum(one.size for one in self.packages)

    def record(self) -> dict[str, Any]:
        """JSON form."""

        def short(one: ChannelPackage) -> dict[str, Any]:
            return {
                "name": one.name,
                "version": one.version,
                "build": one.build,
                "subdir": one.subdir,
                "size": one.size,
            }

        return {
            "folder": self.folder,
            "url": self.url,
            "added": [short(one) for one in self.added],
            "kept": [short(one) for one in self.kept],
            "removed": list(self.removed),
            "notes": list(self.notes),
            "packages": len(self.packages),
            "size": self.size,
        }
