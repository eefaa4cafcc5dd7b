"""From a declaration to a lock: every platform solved, the ``pip:`` part pinned around it, local packages named."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from nbplat.environment.channel.lacking import is_made_anew
from nbplat.environment.definition import Definition
from nbplat.environment.distributions import distributions_of
from nbplat.environment.local_package import read_local_packages
from nbplat.environment.lock_record import CondaPackage, LocalLayer, Lock, PipPackage, PlatformLock
from nbplat.environment.ports import Channel, Conda, LocalDistribution, Phase, Pip, Say
from nbplat.environment.virtual import USUAL, needed, needed_by_wheels, offered, this_platform
from nbplat.errors import Conflict, DataError, RequestError, did_you_mean

__all__ = ["Solvers", "is_solved", "make_lock", "wanted_platforms"]


@dataclass(frozen=True, slots=True)
class Solvers:
    """What a lock is made with.

    Attributes:
        channels: The declaration's, as they are reached now (`channels.resolve_channels`).
    """

    conda: Conda
    pip: Pip
    channels: Sequence[Channel]


def make_lock(
    definition: Definition,
    solvers: Solvers,
    *,
    old: Lock | None = None,
    fresh: bool = False,
    upgrade: Collection[str] = (),
    only: Collection[str] = (),
    offline: bool = False,
    say: Say,
) -> Lock:
    """Lock a declaration.

    Args:
        old: Its older lock. What still fits stays; when it was solved from the same declaration nothing is solved at
            all, and only the sources of local packages are looked at (unless a channel folder was made anew and lacks
            a package of it). None: there is none.
        fresh: Take the newest of everything, whatever the old lock has.
        upgrade: Names of packages that are taken anew all the same, with what they need.
        only: Platforms to lock; the others stay as the old lock has them. Empty locks every one.
        offline: Use nothing but what lies here.

    Raises:
        RequestError: ``env.unsatisfiable``, ``env.package``, ``env.virtual``, ``env.spec``, ``env.clobber``,
            ``env.local``, ``env.python``; `where` has the line of the declaration where one dependency is to blame.
        DataError: ``env.hash``: a channel or index gives no hash for a package.
        RemoteError: ``env.channel``, ``env.index``.
        SetupError: ``env.login``.
        Conflict: ``env.lock_old``: with `only`, when the others were locked for another declaration.
    """
    names = _chosen(definition, only)
    if upgrade and old is not None:
        _known(upgrade, old)
    whole, old = old, None if fresh else old
    said, layers = read_local_packages(definition, solvers.pip, offline=offline, say=say)
    resting = _resting(definition, names, whole, layers)
    same = old is not None and not upgrade and is_solved(definition, old) and not is_made_anew(old, definition.folder)
    if old is not None and same and all(_requires(layers) == _requires(one.local) for one in old.platforms.values()):
        # Only sources can be other ones.
        kept = {name: replace(found, local=layers) for name, found in old.platforms.items()}
        return replace(old, name=definition.name, platforms=MappingProxyType(kept))
    try:
        platforms = {
            name: _platform(
                definition,
                name,
                solvers,
                said,
                layers,
                old=_kept(old, name, upgrade),
                same=same,
                offline=offline,
                say=_among(say, at, len(names)),
            )
            for at, name in enumerate(names)
        }
    except RequestError as exc:
        raise _placed(exc, definition) from None
    return Lock(
        name=definition.name,
        solved_by=definition.solved_by,
        channels=definition.channels,
        dependencies=definition.dependencies,
        pip=definition.pip,
        platforms=MappingProxyType(dict(sorted({**resting, **platforms}.items()))),
    )


def wanted_platforms(definition: Definition) -> tuple[str, ...]:
    """The platforms that a declaration is locked for, sorted; this machine's own when it names none."""
    return tuple(sorted(definition.platforms)) or (this_platform(),)


def is_solved(definition: Definition, lock: Lock) -> bool:
    """True when the lock was solved from this very declaration, for the platforms that are wanted here."""
    return lock.solved_by == definition.solved_by and set(wanted_platforms(definition)) <= set(lock.platforms)


def _chosen(definition: Definition, only: Collection[str]) -> tuple[str, ...]:
    wanted = wanted_platforms(definition)
    unknown = next((name for name in sorted(only) if name not in wanted), None)
    if unknown is not None:
        raise RequestError(
            "env.platform",
            f"{definition.name} is not declared for {unknown!r}, but for {', '.join(wanted)}",
            fix=did_you_mean(unknown, wanted) if definition.platforms else f"add platforms: [{unknown}] under nbplat:",
        )
    return tuple(name for name in wanted if not only or name in only)


def _resting(
    definition: Definition, names: Collection[str], old: Lock | None, layers: tuple[LocalLayer, ...]
) -> dict[str, PlatformLock]:
    """The platforms that are wanted and not locked now, as the old lock has them."""
    rest = [name for name in wanted_platforms(definition) if name not in names]
    if not rest:
        return {}
    fits = old is not None and old.solved_by == definition.solved_by and set(rest) <= set(old.platforms)
    if old is None or not fits or any(_requires(layers) != _requires(old.platforms[name].local) for name in rest):
        raise Conflict(
            "env.lock_old",
            f"{', '.join(rest)} cannot stay as locked: the declaration is not the one that the lock is of",
            fix="lock every platform: leave --platform out",
        )
    return {name: replace(old.platforms[name], local=layers) for name in rest}


def _platform(
    definition: Definition,
    name: str,
    solvers: Solvers,
    said: Sequence[LocalDistribution],
    layers: tuple[LocalLayer, ...],
    *,
    old: PlatformLock,
    same: bool,
    offline: bool,
    say: Say,
) -> PlatformLock:
    here = solvers.conda.virtual() if name == this_platform() else {}
    offer = offered(definition, name, here)
    conda = old.conda
    if not same:
        conda = solvers.conda.solve(
            definition.dependencies, solvers.channels, name, offer, offline=offline, prefer=old.conda, say=say
        )
        _hashed(conda)
    found = PlatformLock(name, conda=conda, local=layers)
    _apart(found, said)
    pip: tuple[PipPackage, ...] = ()
    if definition.pip or any(one.requires or one.python for one in said):
        pip = solvers.pip.resolve(
            definition.pip,
            conda,
            found.python,
            name,
            offline=offline,
            virtual=_for_wheels(definition, name, offer),
            local=said,
            prefer=old.pip,
            say=say,
        )
    return replace(found, pip=pip, virtual=_needed(conda, pip, offer))


def _among(say: Say, at: int, count: int) -> Say:
    """Phases of one platform as steps of all."""

    def told(phase: Phase) -> None:
        over = bool(phase.total) and phase.done >= phase.total
        say(Phase(phase.name, at + over, count, "platform" if count == 1 else "platforms", phase.what))

    return told


def _apart(found: PlatformLock, said: Sequence[LocalDistribution]) -> None:
    """What pip puts into an environment needs a Python there, and names of its own."""
    of_conda = distributions_of(found.conda)
    for one in said:
        if not found.python:
            raise RequestError(
                "env.python", f"the local package {one.name} needs a Python", fix="add python=3.11 to dependencies"
            )
        if one.name in of_conda:
            raise RequestError(
                "env.clobber",
                f"the local package {one.name} has the name of a conda package ({of_conda[one.name]}), whose files it "
                "would overwrite",
                fix="take one of the two out",
            )


def _for_wheels(definition: Definition, platform: str, offer: Mapping[str, str]) -> Mapping[str, str]:
    """What wheels are chosen for: what is declared, else the usual least of the platform.

    Wheels say only by their file's name what they need, and the environment goes to other machines than this one.
    """
    declared = {**definition.virtual.get("*", {}), **definition.virtual.get(platform, {})}
    usual = USUAL.get(platform, {})
    return {**offer, **{name: usual[name] for name in ("__glibc", "__osx") if name in usual and name not in declared}}


def _needed(conda: Sequence[CondaPackage], pip: Sequence[PipPackage], offer: Mapping[str, str]) -> Mapping[str, str]:
    return needed_by_wheels([one.file for one in pip], needed(conda, offer))


def _hashed(packages: Sequence[CondaPackage]) -> None:
    bare = next((one for one in packages if not one.sha256), None)
    if bare is not None:
        raise DataError(
            "env.hash",
            f"the channel {bare.channel} gives no SHA-256 for {bare.file_name}",
            fix="index the channel anew, or take the package from another one",
        )


def _known(upgrade: Collection[str], old: Lock) -> None:
    names = {name for found in old.platforms.values() for name in (*_names(found.conda), *_names(found.pip))}
    unknown = next((name for name in sorted(upgrade) if name not in names), None)
    if unknown is not None:
        raise RequestError(
            "env.package", f"the lock holds no package {unknown!r} to upgrade", fix=did_you_mean(unknown, names)
        )


def _requires(layers: Sequence[LocalLayer]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(one.name, one.extras, one.requires) for one in layers]


def _names(packages: Iterable[CondaPackage | PipPackage]) -> list[str]:
    return [one.name for one in packages]


def _kept(old: Lock | None, platform: str, upgrade: Collection[str]) -> PlatformLock:
    """What of the old lock may stay."""
    found = old.platforms.get(platform) if old is not None else None
    if found is None:
        return PlatformLock(platform)
    return replace(
        found,
        conda=tuple(one for one in found.conda if one.name not in upgrade),
        pip=tuple(one for one in found.pip if one.name not in upgrade),
    )


def _placed(exc: RequestError, definition: Definition) -> RequestError:
    """The error with the line of the dependency that it names, when there is one."""
    if exc.where:
        return exc
    quoted = re.findall(r"'([^']+)'", exc.message)
    for key, texts in (("dependencies", definition.dependencies), ("pip", definition.pip)):
        for at, text in enumerate(texts):
            place = definition.places.get(f"{key}.{at}", "")
            name = re.split(r"[\s=<>!~\[;]", text.rpartition("::")[2])[0]
            # A name alone stands in many trees; with its version it is what was asked for.
            if place and (text in quoted or name in quoted or (text != name and text in exc.message)):
                return type(exc)(exc.code, exc.message, fix=exc.fix, where=place)
    return exc
