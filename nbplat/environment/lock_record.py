"""A lock: the exact packages of every platform, each with its hashes. What is built is built from this alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nbplat.terms import content_hash

__all__ = ["CondaPackage", "LocalLayer", "Lock", "PipPackage", "PlatformLock", "environment_key"]

# Part of every key: a change of how environments are installed or packed makes other content under the same lock.
_BUILD_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """One package of a channel, as repodata describes it.

    Attributes:
        channel: As the declaration spells it; never with credentials.
        subdir: ``linux-64`` or ``noarch``.
        file_name: ``numpy-2.4.6-py311_0.conda``; channel, subdir and file name make the address.
        size: Bytes of the file; 0 where the channel does not say.
        depends: Match specs; `constrains` limits packages that are there anyway.
        site_packages: Of a Python whose modules lie elsewhere than usual (``lib/python3.13t/site-packages``); empty:
            as usual.
    """

    name: str
    version: str
    build: str
    build_number: int
    channel: str
    subdir: str
    file_name: str
    sha256: str
    md5: str = ""
    size: int = 0
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: str = ""
    site_packages: str = ""


@dataclass(frozen=True, slots=True)
class PipPackage:
    """One distribution of the ``pip:`` part.

    Attributes:
        name: Normalised.
        hashes: ``sha256:…`` of every file that may be installed for it, sorted.
        marker: When it is wanted; empty: always.
        extras: Sorted.
        file: Name of the one file that is installed: a wheel where there is one, else the source archive.
        size: Its bytes; 0 where the index does not say.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""
    extras: tuple[str, ...] = ()
    file: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class LocalLayer:
    """One package of the user's own, by the hash of its source.

    Attributes:
        path: As declared.
        source_hash: 64 hex digits over names, modes and bytes of the files that a build reads.
        requires: What it required when the pip part was resolved, as it says it; a change of that is solved anew.
    """

    name: str
    version: str
    path: str
    source_hash: str
    extras: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlatformLock:
    """What one platform gets.

    Attributes:
        virtual: What the machine must offer: ``__glibc`` -> ``2.28``; found at lock time or declared.
        conda: In order of name.
        pip: In order of name.
    """

    platform: str
    virtual: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    conda: tuple[CondaPackage, ...] = ()
    pip: tuple[PipPackage, ...] = ()
    local: tuple[LocalLayer, ...] = ()

    @property
    def python(self) -> str:
        """Full version of its Python, ``3.11.7``; empty when it has none."""
        return next((one.version for one in self.conda if one.name == "python"), "")


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one declaration.

    Attributes:
        name: Of the environment.
        solved_by: `Definition.solved_by` of what was solved; another one means that the lock is out of date.
        channels: As declared, in order of priority.
        dependencies: Match specs as declared; with `pip` what `--check` holds against a declaration.
        platforms: By name.
    """

    name: str
    solved_by: str
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...]
    platforms: Mapping[str, PlatformLock]

    @property
    def digest(self) -> str:
        """64 hex digits over the packages of all platforms; two equal digests build equal environments."""
        return content_hash({name: environment_key(found) for name, found in sorted(self.platforms.items())})


def environment_key(lock: PlatformLock) -> str:
    """Name the content of a built environment, before it is built.

    Returns:
        64 hex digits over platform, conda hashes, pip hashes, hashes of local sources and the format of our builds.
        Channel addresses do not count: a mirror gives the same bytes.
    """
    return content_hash(
        {
            "format": _BUILD_FORMAT,
            "platform": lock.platform,
            "conda": sorted(one.sha256 for one in lock.conda),
            "pip": sorted([one.name, one.version, *one.extras, *one.hashes] for one in lock.pip),
            "local": sorted([one.name, one.source_hash, *one.extras] for one in lock.local),
        }
    )
