"""Turns ``Requires-Dist`` of a distribution into what a conda package depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.environment.channel.interpreter import Interpreter
from nbplat.errors import DataError

if TYPE_CHECKING:
    from packaging.markers import Marker
    from packaging.requirements import Requirement

__all__ = ["Depends", "conda_name", "depends_of", "holds", "read_requirement"]

# What a marker is tried with, to learn whether its answer holds on other machines than this one.
_SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
)
_MACHINES = ("x86_64", "aarch64", "arm64", "AMD64")
_MINORS = tuple(f"3.{minor}" for minor in range(9, 16))


@dataclass(frozen=True, slots=True)
class Depends:
    """What a distribution needs.

    Attributes:
        specs: Conda match specs, in order of name; Python itself is not among them.
        by_python: Whether another Python would need other packages.
        by_system: Whether Linux, macOS or Windows would.
        by_machine: Whether another processor would.
        unknown_extras: ``requests[socks]`` of packages that are not at hand, so that what the extra needs is not known.
    """

    specs: tuple[str, ...]
    by_python: bool = False
    by_system: bool = False
    by_machine: bool = False
    unknown_extras: tuple[str, ...] = ()


def conda_name(name: str) -> str:
    """The name of the package of a distribution: as PyPI normalises it."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def read_requirement(text: str, of: str) -> Requirement:
    """One ``Requires-Dist`` of a distribution.

    Raises:
        DataError: ``env.channel.metadata``.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as exc:
        raise DataError(
            "env.channel.metadata",
            f"{of} has a Requires-Dist that cannot be read: {text!r} ({str(exc).splitlines()[0]})",
            fix="take another version of it, or build its wheel again with that line mended",
            where=of,
        ) from None


def depends_of(
    name: str, requires: Iterable[str], interpreter: Interpreter, requires_of: Callable[[str], Iterable[str] | None]
) -> Depends:
    """Evaluate the requirements of a distribution for one interpreter.

    Args:
        name: Of the distribution, for messages.
        requires: Values of ``Requires-Dist``.
        requires_of: Those of another distribution by its normalised name; None when it is not at hand.

    Raises:
        DataError: ``env.channel.metadata``.
    """
    found: dict[str, list[str]] = {}
    varies: set[str] = set()
    unknown: list[str] = []
    todo = [(read_requirement(one, name), frozenset({""})) for one in requires]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement, extras = todo.pop()
        if requirement.marker is not None:
            varies |= _varies(requirement.marker, interpreter.markers, extras)
        if not holds(requirement.marker, interpreter.markers, extras):
            continue
        other = conda_name(requirement.name)
        found.setdefault(other, []).append(_versions(requirement))
        wanted = frozenset(requirement.extras)
        if wanted and (other, wanted) not in seen:
            seen.add((other, wanted))
            theirs = requires_of(other)
            if theirs is None:
                unknown.append(f"{other}[{','.join(sorted(wanted))}]")
            todo += [(read_requirement(one, other), wanted) for one in theirs or () if "extra" in one]
    specs = tuple(f"{name} {_joined(found[name])}".strip() for name in sorted(found))
    return Depends(
        specs,
        by_python="python" in varies,
        by_system="system" in varies,
        by_machine="machine" in varies,
        unknown_extras=tuple(sorted(unknown)),
    )


def holds(marker: Marker | None, markers: Mapping[str, str], extras: frozenset[str] = frozenset()) -> bool:
    """Whether a requirement with this marker counts, with any of the extras or without."""
    return marker is None or any(marker.evaluate({**markers, "extra": extra}) for extra in extras or {""})


def _varies(marker: Marker, markers: Mapping[str, str], extras: frozenset[str]) -> set[str]:
    def answers(others: Iterable[Mapping[str, str]]) -> set[bool]:
        return {holds(marker, {**markers, **other}, extras) for other in others}

    pythons = [{"python_version": one, "python_full_version": f"{one}.0"} for one in _MINORS]
    found = set()
    if len(answers(pythons)) > 1:
        found.add("python")
    if len(answers(_SYSTEMS)) > 1:
        found.add("system")
    if len(answers([{"platform_machine": one} for one in _MACHINES])) > 1:
        found.add("machine")
    return found


def _versions(requirement: Requirement) -> str:
    return ",".join(_conda_clause(one.operator, one.version) for one in requirement.specifier)


def _conda_clause(operator: str, version: str) -> str:
    """One clause of PEP 440 as conda writes it; versions without leading zeros, as conda's indexes spell them."""
    from packaging.version import InvalidVersion, Version

    if version.endswith(".*"):
        return version if operator == "==" else f"{operator}{version}"
    try:
        version = str(Version(version))
    except InvalidVersion:  # After === every text may stand.
        operator = "=="
    return f"{'==' if operator == '===' else operator}{version}"


def _joined(clauses: list[str]) -> str:
    parts = {part for clause in clauses for part in clause.split(",") if part}
    return ",".join(sorted(parts, key=lambda part: (part.startswith("!"), part.startswith("<"), part)))
