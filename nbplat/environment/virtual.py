"""What machines are taken to offer when packages are chosen for them, and what chosen packages then need."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from platform import machine
from types import MappingProxyType

from nbplat.environment.definition import Definition
from nbplat.environment.floors import compare
from nbplat.environment.lock_record import CondaPackage
from nbplat.remote.probe import conda_platform

__all__ = ["USUAL", "needed", "needed_by_wheels", "offered", "this_platform"]

_LINUX = {"__unix": "0", "__linux": "4.18", "__glibc": "2.28"}

USUAL: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "linux-64": MappingProxyType({**_LINUX, "__archspec": "x86_64"}),
        "linux-aarch64": MappingProxyType({**_LINUX, "__archspec": "aarch64"}),
        "linux-ppc64le": MappingProxyType({**_LINUX, "__archspec": "ppc64le"}),
        "linux-riscv64": MappingProxyType({**_LINUX, "__archspec": "riscv64"}),
        "linux-s390x": MappingProxyType({**_LINUX, "__archspec": "s390x"}),
        "osx-64": MappingProxyType({"__unix": "0", "__osx": "13.0", "__archspec": "x86_64"}),
        "osx-arm64": MappingProxyType({"__unix": "0", "__osx": "13.0", "__archspec": "m1"}),
        "win-64": MappingProxyType({"__win": "0", "__archspec": "x86_64"}),
        "win-arm64": MappingProxyType({"__win": "0", "__archspec": "aarch64"}),
    }
)
"""What a platform offers when nobody says more: Linux as RHEL 8 and its kin, macOS 13, no GPU, the oldest CPU."""


_WHEEL_TAGS = {"__glibc": r"manylinux_(\d+)_(\d+)_", "__osx": r"macosx_(\d+)_(\d+)_"}


def offered(definition: Definition, platform: str, here: Mapping[str, str]) -> Mapping[str, str]:
    """What the machines of a platform offer.

    This machine's own things count for its own platform, but for the CPU: an environment goes to other machines, and
    packages for a newer CPU would die there with an illegal instruction. What is declared comes before all; an empty
    version takes a thing away.

    Args:
        here: What was found on this machine; empty when the platform is not this machine's.
    """
    found = dict(USUAL.get(platform, {}))
    found |= {name: version for name, version in here.items() if name != "__archspec"}
    for scope in ("*", platform):
        found |= definition.virtual.get(scope, {})
    return MappingProxyType({name: version for name, version in sorted(found.items()) if version})


def needed(packages: Iterable[CondaPackage], offer: Mapping[str, str]) -> Mapping[str, str]:
    """What the chosen packages ask of a machine, by name: the lowest version that will do.

    Only what is asked for stands in a lock: it does not depend then on the machine it was made on.

    Args:
        offer: What was taken to be offered; its CPU level is needed where a package asks for one.
    """
    floors: dict[str, str] = {}
    for one in packages:
        for spec in one.depends:
            name, _, limits = spec.partition(" ")
            if name.startswith("__"):
                floor = _floor(name, limits, offer)
                floors[name] = max_version(floors.get(name, floor), floor)
    return MappingProxyType(dict(sorted(floors.items())))


def needed_by_wheels(files: Iterable[str], floors: Mapping[str, str]) -> Mapping[str, str]:
    """What wheels need of a machine besides, by the tags in their names: the glibc of ``manylinux_2_28``."""
    found = dict(floors)
    for file in files:
        for name, pattern in _WHEEL_TAGS.items():
            # One of several tags is enough for a wheel to run.
            versions = [f"{major}.{minor}" for major, minor in re.findall(pattern, file)]
            if versions:
                least = min(versions, key=lambda version: [int(part) for part in version.split(".")])
                found[name] = max_version(found.get(name, least), least)
    return MappingProxyType(dict(sorted(found.items())))


def max_version(left: str, right: str) -> str:
    """The later of two versions."""
    return left if compare(left, right) >= 0 else right


def this_platform() -> str:
    """Conda's name for the machine that we run on."""
    return conda_platform(sys.platform, machine()) or f"{sys.platform}-{machine().lower()}"


def _floor(name: str, limits: str, offer: Mapping[str, str]) -> str:
    if name == "__archspec":
        # Its levels are names in the place of the build; what was offered is what was enough.
        return offer.get(name, "")
    found = re.findall(r"(?:>=|==|=|>|~=)\s*(\d[\w.]*?)(?:\.?\*)?(?=$|[,|\s])", limits) or re.findall(
        r"^\s*(\d[\w.]*?)\.?\*?$", limits
    )
    floor = "0"
    for version in found:
        floor = max_version(floor, version)
    return floor
