"""One side of a comparison: an interpreter, an environment, an archive or a cluster's workers, as far as known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from nbplat.environment.host import Machine, machine_of_probe
from nbplat.environment.lock_record import PlatformLock
from nbplat.errors import DataError

__all__ = ["ArchiveFacts", "Brought", "Installed", "Side", "side_of_lock", "side_of_manifest", "side_of_probe"]

_PROBE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that is there.

    Attributes:
        build: Of a conda package, ``py311_0``; empty for others.
        kind: ``conda``, ``pip`` or ``local``.
    """

    version: str
    build: str = ""
    kind: str = "pip"

    def __str__(self) -> str:
        return f"{self.version} ({self.build})" if self.build else self.version


class Brought(NamedTuple):
    """The distribution that brings a module; both empty for the standard library and for modules of none."""

    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What an archive's form decides.

    Attributes:
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
        links: Whether it holds links, hard or symbolic.
    """

    format: str
    links: bool


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one side.

    Attributes:
        who: In words, as the subject of a sentence: ``the environment fraud``, ``Spark's workers``.
        python: Full version; empty when there is none or it is not known.
        platform: Conda's name; empty when it is not known.
        packages: By name as installed; empty when they are not known.
        machine: Where it runs; None for what is on no machine, as a lock or an archive.
        demands, limits, assumed: What it asks of a machine; see `host.shortfalls`.
        imports: Module asked for -> what brings it; None when it cannot be found.
        archive: Of an archive.
        interpreter: Path of its Python; empty when it has none here.
        name: Of a declared environment, which can be changed by that name; empty for what is no such thing.
    """

    who: str
    python: str
    platform: str
    packages: Mapping[str, Installed] = field(default_factory=lambda: MappingProxyType({}))
    machine: Machine | None = None
    demands: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    assumed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    imports: Mapping[str, Brought | None] = field(default_factory=lambda: MappingProxyType({}))
    archive: ArchiveFacts | None = None
    interpreter: str = ""
    name: str = ""

    def version_of(self, package: str) -> str:
        """The version of a package; empty when it is not there."""
        found = self.packages.get(package)
        return found.version if found is not None else ""


def side_of_probe(
    who: str, record: Mapping[str, Any], *, assumed: Mapping[str, str] = MappingProxyType({}), name: str = ""
) -> Side:
    """What a record of `nbplat.remote.probe` tells.

    Args:
        assumed: Virtual packages of the lock that it was built from.

    Raises:
        DataError: ``env.probe``: another version of the probe wrote it.
    """
    if record.get("probe") != _PROBE_FORMAT:
        raise DataError(
            "env.probe",
            f"{who} answers in form {record.get('probe')!r} of the probe, not {_PROBE_FORMAT}",
            fix="use the same nbplat on both sides",
        )
    return Side(
        who=who,
        python=str(record["python"]),
        platform=str(record["platform"]),
        packages={name: Installed(*found) for name, found in record["packages"].items()},
        machine=machine_of_probe(record),
        demands={name: tuple(specs) for name, specs in record["demands"].items()},
        limits={name: tuple(specs) for name, specs in record["limits"].items()},
        assumed=assumed,
        imports={name: None if found is None else Brought(*found) for name, found in record["imports"].items()},
        interpreter=str(record["executable"]),
        name=name,
    )


def side_of_lock(who: str, lock: PlatformLock, *, name: str = "") -> Side:
    """What a lock promises for one platform."""
    packages = {one.name: Installed(one.version, one.build, "conda") for one in lock.conda}
    packages |= {one.name: Installed(one.version) for one in lock.pip}
    packages |= {one.name: Installed(one.version, "", "local") for one in lock.local}
    return Side(
        who=who,
        python=lock.python,
        platform=lock.platform,
        packages=packages,
        demands=_virtual((one.name, one.depends) for one in lock.conda),
        limits=_virtual((one.name, one.constrains) for one in lock.conda),
        assumed=lock.virtual,
        name=name,
    )


def side_of_manifest(who: str, manifest: Mapping[str, Any]) -> Side:
    """What an archive's manifest tells; see `nbplat.environment.manifest`."""
    return Side(
        who=who,
        python=str(manifest["python"].get("version", "")),
        platform=str(manifest["platform"]),
        packages={
            str(one["name"]): Installed(str(one["version"]), str(one.get("build", "")), str(one["kind"]))
            for one in manifest["packages"]
        },
        demands=_virtual((str(one["name"]), one.get("machine", ())) for one in manifest["packages"]),
        assumed={str(name): str(version) for name, version in manifest.get("virtual", {}).items()},
        archive=ArchiveFacts(str(manifest["format"]), bool(manifest.get("links", True))),
    )


def _virtual(packages: Iterable[tuple[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, specs in packages:
        asked = tuple(spec for spec in specs if spec.startswith("__"))
        if asked:
            found[name] = asked
    return found
