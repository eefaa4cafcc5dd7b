"""Conda's platforms as uv and wheel names spell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbplat.errors import RequestError

__all__ = ["Target", "target_of"]

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
_MAC = {"osx-64": "x86_64", "osx-arm64": "arm64"}
_WINDOWS = {"win-64": ("x86_64-pc-windows-msvc", "win_amd64"), "win-arm64": ("aarch64-pc-windows-msvc", "win_arm64")}
# What uv knows by name; a machine in between is taken for the one below.
_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Target:
    """A platform to resolve for.

    Attributes:
        uv: Value of ``--python-platform``.
        wheels: Platform tags of wheels that run there, the best first.
        variables: Variables that uv needs beside it.
    """

    uv: str
    wheels: tuple[str, ...]
    variables: Mapping[str, str]


def target_of(platform: str, virtual: Mapping[str, str]) -> Target:
    """The target of a conda platform whose machines offer `virtual`.

    Raises:
        RequestError: ``env.platform``: wheels cannot be chosen for it.
    """
    if platform in _MACHINES:
        machine = _MACHINES[platform]
        minor = _minor_of_two(virtual.get("__glibc", "2.28"))
        known = max((each for each in _GLIBC if each <= minor), default=_GLIBC[0])
        return Target(f"{machine}-manylinux_2_{known}", tuple(_linux_tags(machine, minor)), {})
    if platform in _MAC:
        machine = _MAC[platform]
        version = virtual.get("__osx", "13.0")
        uv = f"{'aarch64' if machine == 'arm64' else machine}-apple-darwin"
        return Target(uv, tuple(_mac_tags(version, machine)), {"MACOSX_DEPLOYMENT_TARGET": version})
    if platform in _WINDOWS:
        uv, tag = _WINDOWS[platform]
        return Target(uv, (tag,), {})
    known_names = ", ".join((*_MACHINES, *_MAC, *_WINDOWS))
    raise RequestError(
        "env.platform",
        f"the pip: part cannot be resolved for {platform}",
        fix=f"take that platform or the pip: part out; it works for {known_names}",
    )


def _minor_of_two(glibc: str) -> int:
    major, _, rest = glibc.partition(".")
    minor = rest.split(".")[0]
    return int(minor) if major == "2" and minor.isdigit() else _GLIBC[0]


def _linux_tags(machine: str, glibc_minor: int) -> list[str]:
    tags = []
    for minor in range(glibc_minor, 4, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            tags.append(f"{_OLD_NAMES[minor]}_{machine}")
    return [*tags, f"linux_{machine}"]


def _mac_tags(version: str, machine: str) -> Sequence[str]:
    from packaging.tags import mac_platforms

    parts = [int(part) if part.isdigit() else 0 for part in (*version.split("."), "0")[:2]]
    return list(mac_platforms((parts[0], parts[1]), machine))
