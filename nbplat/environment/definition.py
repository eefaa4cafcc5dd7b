"""What a person declares: an ordinary conda ``environment.yml`` with an ``nbplat:`` block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbplat.terms import content_hash

__all__ = ["Definition", "LocalPackage", "PackRules", "Targets"]


@dataclass(frozen=True, slots=True)
class LocalPackage:
    """A package of the user's own, built to a wheel and installed as a layer of its own.

    Attributes:
        path: Folder with a ``pyproject.toml``, or a wheel; as written, relative to the declaration's file.
        extras: Extras of it to install, sorted.
    """

    path: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Targets:
    """What the environment must work with; empty says nothing. Versions as ``4.1`` or ``4.1.4``."""

    spark: str = ""
    ray: str = ""


@dataclass(frozen=True, slots=True)
class PackRules:
    """How archives of it are made where a call does not say.

    Attributes:
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
        slim: Leave out tests, headers, static libraries, ``.pyx`` and ``.pyi``.
        pyc: Ship compiled modules (unchecked-hash), which makes the first import on a worker three times faster.
        keep: Globs that `slim` must not touch.
        drop: Globs left out as well.
    """

    format: str = "tar.gz"
    slim: bool = False
    pyc: bool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """One declaration, checked in itself; solving needs nothing else but the channels.

    Attributes:
        name: Of the environment; ``[A-Za-z0-9][A-Za-z0-9._-]*``.
        channels: In order of priority; a name (``conda-forge``), a URL, or a path (relative to `folder`).
        dependencies: Conda match specs, normalised, in the order written.
        pip: Requirements of the ``pip:`` part (PEP 508), normalised, in the order written.
        local: Packages of the user's own.
        platforms: Conda platforms to lock, ``linux-64``; empty takes the one of this machine.
        virtual: What the machines of a platform offer, by platform (``*`` for all): ``__glibc`` -> ``2.28``.
        targets: Spark and Ray that it has to fit.
        pack: How it is packed by default.
        folder: Folder that relative paths start from; no part of the identity.
        places: Where each key was written, by path of the key (``dependencies.2``): ``line 5, column 5``; no part of
            the identity.
        defaults: What was not written and is taken, ``channels: [conda-forge]``; no part of the identity.
    """

    name: str
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...] = ()
    local: tuple[LocalPackage, ...] = ()
    platforms: tuple[str, ...] = ()
    virtual: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    targets: Targets = Targets()
    pack: PackRules = PackRules()
    folder: str = field(default="", compare=False)
    places: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    defaults: tuple[str, ...] = field(default=(), compare=False)

    def record(self) -> dict[str, Any]:
        """JSON form without what is no part of the identity."""
        return {
            "name": self.name,
            "channels": list(self.channels),
            "dependencies": list(self.dependencies),
            "pip": list(self.pip),
            "local": [{"path": one.path, "extras": list(one.extras)} for one in self.local],
            "platforms": list(self.platforms),
            "virtual": {platform: dict(found) for platform, found in self.virtual.items()},
            "targets": {"spark": self.targets.spark, "ray": self.targets.ray},
            "pack": {
                "format": self.pack.format,
                "slim": self.pack.slim,
                "pyc": self.pack.pyc,
                "keep": list(self.pack.keep),
                "drop": list(self.pack.drop),
            },
        }

    @property
    def solved_by(self) -> str:
        """64 hex digits over what decides a lock: everything but the name, the targets and the packing."""
        decides = ("channels", "dependencies", "pip", "local", "platforms", "virtual")
        record = self.record()
        return content_hash({key: record[key] for key in decides})
