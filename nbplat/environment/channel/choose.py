"""Chooses the distributions that a channel is made of: what was asked for, and all that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbplat.environment.channel.depends import conda_name, holds
from nbplat.environment.channel.distribution import Distribution
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.ports import Sources
from nbplat.environment.channel.request import ChannelRequest
from nbplat.environment.channel.requirements import Wanted, read_requirements, wanted
from nbplat.errors import NotFound, RequestError, did_you_mean

__all__ = ["Chosen", "choose"]


@dataclass(slots=True)
class Chosen:
    """The distributions of a channel; what is needed and not at hand is not among them.

    Attributes:
        distributions: By name and version.
        requires_of: ``Requires-Dist`` of any distribution at hand, by name; None when it is not.
    """

    requires_of: Callable[[str], Iterable[str] | None]
    distributions: dict[tuple[str, str], Distribution] = field(default_factory=dict)


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

    def any(self, name: str) -> Distribution | None:
        """The newest one of a name."""
        from packaging.version import Version

        if found := self._wheels.get(name):
            return max(found, key=lambda one: Version(one.version))
        if name not in self._installed:
            self._installed[name] = self._sources.installed(name, self.interpreter)
        return self._installed[name]

    def requires_of(self, name: str) -> Iterable[str] | None:
        try:
            found = self.any(name)
        except RequestError:  # It cannot be packaged, and nobody asked for that.
            return None
        return None if found is None else found.requires

    def find(self, want: Wanted) -> Distribution:
        """The newest one that a requirement takes."""
        from packaging.version import Version

        name = conda_name(want.requirement.name)
        here = [*self._wheels.get(name, ())]
        if name not in self._installed:
            self._installed[name] = self._sources.installed(name, self.interpreter)
        if (installed := self._installed[name]) is not None:
            here.append(installed)
        if not here:
            known = {*self._wheels, *self._sources.names(self.interpreter)}
            raise NotFound(
                "env.channel.installed",
                f"{want.requirement.name} is neither installed in {self.interpreter.executable} nor among the wheels",
                fix=f"install it, or give its wheel with --wheels FOLDER; {did_you_mean(name, known)}",
                where=want.where,
            )
        fit = [one for one in here if want.requirement.specifier.contains(one.version, prereleases=True)]
        if not fit:
            versions = ", ".join(sorted({one.version for one in here}))
            raise RequestError(
                "env.channel.requirement",
                f"{want.requirement} is asked for, and {versions} is at hand",
                fix=f"give its wheel with --wheels FOLDER (pip download '{want.requirement}'), or ask for {versions}",
                where=want.where,
            )
        best = max(fit, key=lambda one: Version(one.version))
        if want.hashes and f"sha256:{best.fingerprint}" not in want.hashes:
            raise RequestError(
                "env.channel.hash",
                f"{best.source} is none of the files whose hashes are given for {want.requirement}",
                fix="fetch the wheel that the hash names (pip download --require-hashes), or leave the hashes out",
                where=want.where,
            )
        return best


def _close(
    chosen: Chosen, cellar: _Cellar, without: Sequence[str], todo: list[tuple[Distribution, frozenset[str]]]
) -> None:
    """Take these and all that they need."""
    from packaging.requirements import Requirement

    seen: set[tuple[str, frozenset[str]]] = set()
    left_out = {conda_name(one) for one in without}
    while todo:
        one, extras = todo.pop()
        if (one.name, extras) in seen:
            continue
        seen.add((one.name, extras))
        chosen.distributions[one.name, one.version] = one
        for text in one.requires:
            requirement = Requirement(text)
            if not holds(requirement.marker, cellar.interpreter.markers, extras):
                continue
            name = conda_name(requirement.name)
            if name not in left_out and (found := cellar.any(name)) is not None:
                todo.append((found, frozenset(requirement.extras)))
