"""Is a lock up to date with its declaration? Answered without a channel, so that CI can ask it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.definition import Definition
from nbplat.environment.floors import satisfies
from nbplat.environment.lock_record import CondaPackage, Lock
from nbplat.environment.match_spec import MatchSpec, SpecError, parse_spec
from nbplat.environment.source_hash import source_hash
from nbplat.errors import RequestError

__all__ = ["Finding", "check_lock"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which a lock is not that of its declaration.

    Attributes:
        key: What of the declaration differs: ``channels``, ``dependencies``, ``pip``, ``local``, ``platforms``,
            ``virtual``, ``name``.
        text: What differs, one sentence without a period.
        place: ``line 5, column 5`` of the declaration; empty where it is about what is not there.
    """

    key: str
    text: str
    place: str = ""

    def record(self) -> dict[str, Any]:
        return {"key": self.key, "text": self.text, "place": self.place}


def check_lock(definition: Definition, lock: Lock, *, sources: bool = True) -> tuple[Finding, ...]:
    """Hold a lock against its declaration.

    Args:
        sources: Look at the sources of local packages too.

    Returns:
        Empty: a build from the lock is what the declaration asks for.
    """
    found = list(_findings(definition, lock))
    if sources:
        found += _sources(definition, lock)
    if not found and lock.solved_by != definition.solved_by:
        # What else decides a solve and is not written into locks.
        found.append(Finding("virtual", "nbplat.virtual, or an extra of a local package, is not what it was solved by"))
    return tuple(found)


def _findings(definition: Definition, lock: Lock) -> Iterator[Finding]:
    places = definition.places
    if lock.name != definition.name:
        yield Finding("name", f"the lock is of {lock.name!r}, the declaration is called {definition.name!r}")
    if lock.channels != definition.channels:
        now, then = ", ".join(definition.channels), ", ".join(lock.channels)
        yield Finding("channels", f"channels are {now}; it was locked with {then}", places.get("channels.0", ""))
    for at, text in enumerate(definition.dependencies):
        yield from _dependency(text, lock, places.get(f"dependencies.{at}", ""))
    yield from _gone("dependencies", lock.dependencies, definition.dependencies)
    for at, text in enumerate(definition.pip):
        if text not in lock.pip:
            yield Finding("pip", f"{text} is not what it was locked with", places.get(f"pip.{at}", ""))
    yield from _gone("pip", lock.pip, definition.pip)
    wanted = set(definition.platforms)
    if wanted:
        for name in sorted(wanted - set(lock.platforms)):
            yield Finding("platforms", f"{name} is not locked", places.get("platforms.0", ""))
        for name in sorted(set(lock.platforms) - wanted):
            yield Finding("platforms", f"{name} is locked and no longer declared")


def _dependency(text: str, lock: Lock, place: str) -> Iterator[Finding]:
    spec = _spec(text)
    changed = text not in lock.dependencies
    for name, found in sorted(lock.platforms.items()):
        package = next((one for one in found.conda if spec is not None and one.name == spec.name), None)
        if package is None:
            yield Finding("dependencies", f"{text} is declared, and {name} has no such package", place)
        elif spec is not None and not _meets(package, spec):
            yield Finding(
                "dependencies", f"{text} is declared, and {name} has {package.version} {package.build}", place
            )
        elif changed:
            yield Finding("dependencies", f"{text} is new; {package.version} of {name} would meet it", place)


def _gone(key: str, then: Collection[str], now: Collection[str]) -> Iterator[Finding]:
    names = {_name(text) for text in now}
    for text in then:
        if text not in now and _name(text) not in names:
            yield Finding(key, f"{text} was locked and is no longer declared")


def _sources(definition: Definition, lock: Lock) -> Iterator[Finding]:
    declared = {one.path: f"local.{at}" for at, one in enumerate(definition.local)}
    layers = {one.path: one for found in lock.platforms.values() for one in found.local}
    for path, key in declared.items():
        place = definition.places.get(key, "")
        layer = layers.get(path)
        if layer is None:
            yield Finding("local", f"{path} is declared and not locked", place)
            continue
        try:
            same = source_hash(Path(definition.folder, path).expanduser()) == layer.source_hash
        except RequestError as exc:
            yield Finding("local", exc.message, place)
            continue
        if not same:
            yield Finding("local", f"the source of {layer.name} ({path}) changed since it was locked", place)
    for path in sorted(set(layers) - set(declared)):
        yield Finding("local", f"{path} was locked and is no longer declared")


def _meets(package: CondaPackage, spec: MatchSpec) -> bool:
    """A constraint that is not understood counts as met: the lock came from a solver that understands it."""
    from fnmatch import fnmatchcase

    if satisfies(package.version, spec.version) is False:
        return False
    if spec.build and not spec.build.startswith("^") and not fnmatchcase(package.build, spec.build):
        return False
    return not spec.channel or package.channel.rstrip("/").rpartition("/")[2] == spec.channel.rpartition("/")[2]


def _spec(text: str) -> MatchSpec | None:
    try:
        return parse_spec(text)
    except SpecError:
        return None


def _name(text: str) -> str:
    """The name that a match spec or a requirement begins with."""
    return re.split(r"[\s=<>!~\[;]", text.rpartition("::")[2], maxsplit=1)[0]
