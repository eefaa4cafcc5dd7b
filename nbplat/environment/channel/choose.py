"""Chooses the distributions that a channel is made of: what was asked for, and all that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.environment.channel.depends import conda_name, holds, read_requirement
from nbplat.environment.channel.distribution import Distribution
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.ports import Sources
from nbplat.environment.channel.request import ChannelRequest
from nbplat.environment.channel.requirements import Wanted, read_requirements, wanted
from nbplat.errors import DataError, NotFound, RequestError, did_you_mean

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["Chosen", "choose"]


@dataclass(slots=True)
class Chosen:
    """The distributions of a channel; what is needed and not at hand is not among them.

    Attributes:
        notes: Needs that are at hand in other versions only.
        distributions: By name and version.
        requires_of: ``Requires-Dist`` of any distribution at hand, by name; None when it is not.
    """

    requires_of: Callable[[str], Iterable[str] | None]
    distributions: dict[tuple[str, str], Distribution] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def choose(request: ChannelRequest, interpreter: Interpreter, sources: Sources) -> Chosen:
    """Find everything that a request asks for.

    Raises:
        NotFound: ``env.channel.installed``: a distribution is neither installed nor among the wheels.
        RequestError: ``env.channel.requirement``, ``env.channel.wheel``, and what cannot be packaged.
    """
    by_name: dict[str, list[Distribution]] = {}
    for one in sources.wheels(request.wheels, interpreter) if request.wheels else ():
        by_name.setdefault(one.name, []).append(one)
    cellar = _Cellar(by_name, interpreter, sources)
    chosen = Chosen(cellar.requires_of)
    asked = [wanted(text) for text in request.installed]
    if request.requirements:
        asked += read_requirements(Path(request.requirements).expanduser())
    else:
        chosen.distributions |= {(one.name, one.version): one for wheels in by_name.values() for one in wheels}
    here = [want for want in asked if holds(want.requirement.marker, interpreter.markers)]
    _close(chosen, cellar, request.without, [(cellar.find(want), frozenset(want.requirement.extras)) for want in here])
    return chosen


class _Cellar:
    """What is at hand: wheels first, then what is installed."""

    def __init__(
        self, wheels: Mapping[str, Sequence[Distribution]], interpreter: Interpreter, sources: Sources
    ) -> None:
        self.interpreter = interpreter
        self._wheels = wheels
        self._sources = sources
        self._installed: dict[str, Distribution | None] = {}

    def requires_of(self, name: str) -> Iterable[str] | None:
        """The requirements of the newest one of a name."""
        try:
            found = self.here(name)
        except (RequestError, DataError):  # It cannot be packaged, and nobody asked for that.
            return None
        return found[0].requires if found else None

    def here(self, name: str) -> list[Distribution]:
        """All of a name, the newest first, wheels before what is installed."""
        from packaging.version import Version

        if name not in self._installed:
            self._installed[name] = self._sources.installed(name, self.interpreter)
        installed = self._installed[name]
        every = [*self._wheels.get(name, ()), *([] if installed is None else [installed])]
        return sorted(every, key=lambda one: Version(one.version), reverse=True)

    def find(self, want: Wanted) -> Distribution:
        """The newest one that a requirement takes."""
        name = conda_name(want.requirement.name)
        here = self.here(name)
        if not here:
            known = {*self._wheels, *self._sources.names(self.interpreter)}
            raise NotFound(
                "env.channel.installed",
                f"{want.requirement.name} is neither installed in {self.interpreter.executable} nor among the wheels",
                fix=f"install it, or give its wheel with --wheels FOLDER; {did_you_mean(name, known)}",
                where=want.where,
            )
        best = _first_fit(want.requirement, here)
        if best is None:
            versions = ", ".join(sorted({one.version for one in here}))
            raise RequestError(
                "env.channel.requirement",
                f"{want.requirement} is asked for, and {versions} is at hand",
                fix=f"give its wheel with --wheels FOLDER (pip download '{want.requirement}'), or ask for {versions}",
                where=want.where,
            )
        if want.hashes and f"sha256:{best.fingerprint}" not in want.hashes:
            raise RequestError(
                "env.channel.hash",
                f"{best.source} is none of the files whose hashes are given for {want.requirement}",
                fix="fetch the wheel that the hash names (pip download --require-hashes), or leave the hashes out",
                where=want.where,
            )
        return best


def _first_fit(requirement: Requirement, distributions: Iterable[Distribution]) -> Distribution | None:
    return next(
        (one for one in distributions if requirement.specifier.contains(one.version, prereleases=True)),
        None,
    )


def _close(
    chosen: Chosen, cellar: _Cellar, without: Sequence[str], todo: list[tuple[Distribution, frozenset[str]]]
) -> None:
    """Take these and all that they need."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left_out = {conda_name(one) for one in without}
    while todo:
        one, extras = todo.pop()
        if (one.name, extras) in seen:
            continue
        seen.add((one.name, extras))
        chosen.distributions[one.name, one.version] = one
        for text in one.requires:
            requirement = read_requirement(text, one.name)
            if not holds(requirement.marker, cellar.interpreter.markers, extras):
                continue
            name = conda_name(requirement.name)
            if name in left_out:
                continue
            taken = [each for each in chosen.distributions.values() if each.name == name]
            here = cellar.here(name)
            found = _first_fit(requirement, [*taken, *here])
            if found is not None:
                todo.append((found, frozenset(requirement.extras)))
            elif here:
                versions = ", ".join(each.version for each in here)
                chosen.notes.append(
                    f"{one.name} needs {requirement.name}{requirement.specifier}, at hand is {versions}"
                )
