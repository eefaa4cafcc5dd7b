"""What a machine offers to an environment: platform, glibc, CPU level, CUDA; and whether that is enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbplat.environment.floors import compare, satisfies

__all__ = ["CPU_LEVELS", "Machine", "Shortfall", "machine_of_probe", "shortfalls"]

CPU_LEVELS = ("x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4")
"""Each includes those before it."""

# What distinguishes processors that run every level of x86-64; conda names them in `__archspec` as well.
_ARCHSPEC = "__archspec"


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, by conda's virtual packages.

    Attributes:
        node: Its name; empty when it is not known.
        platform: ``linux-64``; empty when it is not known.
        virtual: Name -> version: ``__glibc`` -> ``2.36``; `__archspec` has the name of the CPU level.
    """

    node: str
    platform: str
    virtual: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Something that is asked of a machine and that it has not.

    Attributes:
        package: Who asks; empty when it is the lock as a whole.
        asked: As conda spells it: ``__glibc >=2.28``.
        found: What the machine has, ``2.17``; empty for nothing.
        sure: False when nobody asks by name: the lock was merely solved for a machine that has it.
    """

    package: str
    asked: str
    found: str
    sure: bool


def machine_of_probe(record: Mapping[str, Any]) -> Machine:
    """The machine of a record of `nbplat.remote.probe`."""
    virtual = {f"__{name}": str(record[name]) for name in ("glibc", "cuda") if record.get(name)}
    platform = str(record.get("platform", ""))
    if record.get("macos"):
        virtual["__osx"] = str(record["macos"])
    if record.get("kernel"):
        virtual["__linux"] = str(record["kernel"]).partition("-")[0]
    if not platform.startswith("win"):
        virtual["__unix"] = "0"
    if record.get("cpu"):
        virtual[_ARCHSPEC] = str(record["cpu"])
    return Machine(str(record.get("node", "")), platform, virtual)


def shortfalls(
    demands: Mapping[str, tuple[str, ...]],
    limits: Mapping[str, tuple[str, ...]],
    assumed: Mapping[str, str],
    machine: Machine,
) -> tuple[Shortfall, ...]:
    """What a machine lacks for an environment, by package.

    Args:
        demands: Package -> specs of virtual packages that it needs.
        limits: Package -> specs that count only where the machine has the virtual package.
        assumed: The virtual packages that the lock was solved for, name -> version.

    Returns:
        Empty when the machine will do. What cannot be judged (a spec nobody understands, a processor that is not
        x86-64) is no shortfall.
    """
    asked = [(package, spec, True) for package, specs in sorted(demands.items()) for spec in specs]
    asked += [(package, spec, False) for package, specs in sorted(limits.items()) for spec in specs]
    lacks = (_lacks(spec, machine, package, needed=needed) for package, spec, needed in asked)
    found = [lack for lack in lacks if lack is not None]
    named = {lack.asked.split()[0] for lack in found}
    for name, version in sorted(assumed.items()):
        # A kernel's version is taken along from where the lock was made; hardly any package looks at it.
        if name in named or name in ("__unix", "__linux") or not version:
            continue
        version = version.rpartition("=")[2]
        have = machine.virtual.get(name, "")
        if not _offers(name, have, version):
            found.append(Shortfall("", f"{name} {version}", have, sure=False))
    return tuple(found)


def _lacks(spec: str, machine: Machine, package: str, *, needed: bool) -> Shortfall | None:
    name, version, build = _split(spec)
    have = machine.virtual.get(name)
    if have is None:
        # On other processors `__archspec` has names of their own, which we do not rank.
        return Shortfall(package, spec, "", sure=True) if needed and name != _ARCHSPEC else None
    if name == _ARCHSPEC:
        return None if not build or _offers(name, have, build) else Shortfall(package, spec, have, sure=True)
    return Shortfall(package, spec, have, sure=True) if satisfies(have, version) is False else None


def _split(spec: str) -> tuple[str, str, str]:
    """Name, version constraint and build of a match spec: ``__cuda >=12,<13`` or ``__archspec=1=x86_64_v3``."""
    name = re.match(r"[\w-]*", spec)
    assert name is not None  # noqa: S101 - it matches nothing as well
    rest = spec[name.end() :].strip()
    if rest.startswith("=") and " " not in rest and rest.count("=") == 2 and not rest.startswith("=="):
        version, build = rest[1:].split("=")
        return name[0], version, build
    # A space may stand inside one constraint: `>= 2.17, < 3`.
    words = re.sub(r"\s*([,|<>=!~])\s*", r"\1", rest).split()
    version, build = (*words, "", "")[:2]
    return name[0], version, build


def _offers(name: str, have: str, wanted: str) -> bool:
    if name != _ARCHSPEC:
        return bool(have) and compare(have, wanted) >= 0
    if have not in CPU_LEVELS or wanted not in CPU_LEVELS:
        return True
    return CPU_LEVELS.index(have) >= CPU_LEVELS.index(wanted)
