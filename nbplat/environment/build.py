"""From a lock to an environment in the store: one process builds a key, the others wait for it and take it.

An environment is built where it will stay, for its path is written into its files; what makes it an environment is
the record that is written last (`built.write_built`). A kill before that leaves a folder that nobody shows and that
the next build of the key, or `gc`, removes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nbplat.clock import Clock
from nbplat.environment.built import Built, write_built
from nbplat.environment.key_lock import hold
from nbplat.environment.layer import layer_wheels
from nbplat.environment.lock_record import Lock, PlatformLock, environment_key
from nbplat.environment.ports import Channel, Conda, Installed, Phase, Pip, Say
from nbplat.environment.smoke import smoke_check
from nbplat.environment.store import Store
from nbplat.environment.store_faults import fault_in_text
from nbplat.environment.store_index import Named, StoreIndex
from nbplat.environment.virtual import this_platform
from nbplat.errors import DataError, InternalError, RemoteError, RequestError, SetupError, did_you_mean
from nbplat.terms import EnvironmentRef

__all__ = ["BuildDone", "BuildTools", "build", "rebuild"]

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class BuildTools:
    """What a build works with.

    Attributes:
        channels: As the lock's channels are reached now.
    """

    store: Store
    conda: Conda
    pip: Pip
    clock: Clock
    channels: Sequence[Channel] = ()


@dataclass(frozen=True, slots=True)
class BuildDone:
    """What came of it.

    Attributes:
        found: True when it had been built before, or by another process while this one waited.
        installed: Of the conda part; as if nothing was done when it was found.
        seconds: Of the whole call.
    """

    ref: EnvironmentRef
    built: Built
    found: bool
    seconds: float
    installed: Installed = field(default_factory=Installed)


def build(
    lock: Lock,
    platform: str,
    tools: BuildTools,
    *,
    folder: Path,
    project: str = "",
    offline: bool = False,
    imports: bool = True,
    say: Say,
) -> BuildDone:
    """Have the environment of a lock, and let its name mean it from now on.

    Args:
        platform: One of the lock's; empty takes the one of this machine.
        folder: What paths of local packages are relative to.
        project: Where the name is used; two projects may use one name for different environments.
        imports: False leaves out the import of what was asked for by name.

    Raises:
        RequestError: ``env.platform``: the lock has no such platform, or one that cannot be built here.
        DataError: ``env.hash``, ``env.lock``, ``env.python``, ``env.import``; nothing half-built stays.
        SetupError: ``env.space``, ``env.readonly``, ``env.prefix``.
        RemoteError: ``env.channel``, ``env.index``.
        Conflict: ``env.stale``.
    """
    started_s = tools.clock.monotonic_s()
    locked = _platform_of(lock, platform)
    _checked(locked)
    asked = _Asked(
        lock.name, lock.digest, locked, environment_key(locked), lock.dependencies, lock.pip, folder, imports
    )
    built, installed = _find(asked, tools, project), None
    if built is None:
        with (
            tools.store.in_use(lambda who: say(_wait(who, "sweeps the store"))),
            hold(tools.store.lock_file(asked.key), waiting=lambda who: say(_wait(who, f"builds {lock.name}"))),
        ):
            built = tools.store.built(asked.key)
            if built is None:
                tools.store.sweep()
                built, installed = _make(asked, tools, offline=offline, say=say)
            _register(asked, tools, project)
    return BuildDone(
        ref=built.ref(lock.name, lock.digest),
        built=built,
        found=installed is None,
        seconds=tools.clock.monotonic_s() - started_s,
        installed=installed or Installed(),
    )


def rebuild(built: Built, tools: BuildTools, *, folder: Path, offline: bool = False, say: Say) -> Built:
    """Build a damaged environment anew in its place, from the lock that it holds itself.

    For the seconds that it takes the environment is not there. When it cannot be built, the damaged one comes back.

    Args:
        folder: What paths of local packages are relative to.

    Raises:
        NbplatError: as `build`.
    """
    asked = _Asked(
        built.name,
        built.lock_digest,
        built.lock,
        built.key,
        built.requested,
        built.pip_requested,
        folder,
        imports=False,
    )
    store, prefix = tools.store, tools.store.prefix(built.key)
    with (
        store.in_use(lambda who: say(_wait(who, "sweeps the store"))),
        hold(store.lock_file(built.key), waiting=lambda who: say(_wait(who, f"builds {built.name}"))),
        store.scratch() as scratch,
    ):
        prefix.rename(scratch / "damaged")
        try:
            made, _ = _make(asked, tools, offline=offline, say=say)
        except BaseException:
            (scratch / "damaged").rename(prefix)
            raise
    return made


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    lock_digest: str
    locked: PlatformLock
    key: str
    requested: tuple[str, ...]
    pip_requested: tuple[str, ...]
    folder: Path
    imports: bool


def _find(asked: _Asked, tools: BuildTools, project: str) -> Built | None:
    """What is built already; noted as used before a sweeper can take it."""
    # Of a store that others keep for us, what is there can be used though nothing can be locked or noted.
    with suppress(SetupError), tools.store.in_use():
        found = tools.store.built(asked.key)
        if found is not None:
            _register(asked, tools, project)
        return found
    return tools.store.built(asked.key)


def _make(asked: _Asked, tools: BuildTools, *, offline: bool, say: Say) -> tuple[Built, Installed]:
    store, prefix, locked = tools.store, tools.store.prefix(asked.key), asked.locked
    # Of a build that was killed: never built upon.
    store.discard(prefix)
    wheels = layer_wheels(locked.local, asked.folder, store, tools.pip, offline=offline, say=say)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _words_of_faults(store.root):
            installed = _install(asked, wheels, tools, prefix, offline=offline, say=say)
        if locked.platform == this_platform():
            smoke_check(prefix, locked, _asked_for(asked), imports=asked.imports, say=say)
        files, size_bytes = _measure(prefix)
        built = Built(
            name=asked.name,
            key=asked.key,
            platform=locked.platform,
            prefix=str(prefix),
            lock_digest=asked.lock_digest,
            lock=locked,
            requested=asked.requested,
            pip_requested=asked.pip_requested,
            built_ms=tools.clock.now_ms(),
            linked=installed.linked,
            files=files,
            size_bytes=size_bytes,
        )
        write_built(built)
    except BaseException:
        store.discard(prefix)
        raise
    return built, installed


def _install(
    asked: _Asked, wheels: Sequence[Path], tools: BuildTools, prefix: Path, *, offline: bool, say: Say
) -> Installed:
    installed = tools.conda.install(
        asked.locked.conda,
        tools.channels,
        prefix,
        tools.store.root,
        platform=asked.locked.platform,
        requested=asked.requested,
        offline=offline,
        say=say,
    )
    python = prefix / "bin" / "python"
    if asked.locked.pip:
        tools.pip.install(asked.locked.pip, python, offline=offline, say=say)
    if wheels:
        tools.pip.install_wheels(wheels, python, say=say)
    return installed


@contextmanager
def _words_of_faults(root: Path) -> Iterator[None]:
    """A program that ran out of space says so in its own words; they become ours."""
    try:
        yield
    except (InternalError, RemoteError, SetupError) as exc:
        fault = None if exc.code in ("env.space", "env.readonly") else fault_in_text(exc.message, root)
        if fault is None:
            raise
        raise fault from exc


def _platform_of(lock: Lock, platform: str) -> PlatformLock:
    wanted = platform or this_platform()
    locked = lock.platforms.get(wanted)
    if locked is None:
        raise RequestError(
            "env.platform",
            f"the lock of {lock.name} has no platform {wanted}",
            fix=f"add {wanted} to `nbplat: platforms:` and lock again; {did_you_mean(wanted, lock.platforms)}",
        )
    if wanted != this_platform() and (locked.pip or locked.local):
        raise RequestError(
            "env.platform",
            f"an environment of {wanted} with a pip part or local packages cannot be built on {this_platform()}: "
            "its own Python would have to run",
            fix=f"build it on a {wanted} machine, or take the same packages from a channel",
        )
    return locked


def _checked(lock: PlatformLock) -> None:
    """Refuse a lock that names no exact packages."""
    bare = [one.name for one in lock.conda if not re.fullmatch(r"[0-9a-f]{64}", one.sha256)]
    names = [one.name for one in lock.conda]
    twice = sorted({name for name in names if names.count(name) > 1})
    # A file name becomes a path in the store.
    odd = [one.name for one in lock.conda if not all(map(_NAME.fullmatch, (one.file_name, one.subdir)))]
    if bare or twice or odd:
        what = (
            f"no sha256 of {bare[0]}"
            if bare
            else f"two packages {twice[0]}"
            if twice
            else f"a file name of {odd[0]} that is none"
        )
        raise DataError(
            "env.lock",
            f"the lock is wrong: it holds {what}",
            fix="write the lock anew with `nbplat env lock`; locks are not edited by hand",
        )


def _asked_for(asked: _Asked) -> list[str]:
    """Names of the packages that the declaration names itself."""
    specs = [re.split(r"[\s=<>!~\[;@(]", text.rpartition("::")[2].strip(), maxsplit=1)[0] for text in asked.requested]
    pip = [re.split(r"[\s=<>!~\[;@(]", text.strip(), maxsplit=1)[0] for text in asked.pip_requested]
    return [*specs, *pip, *(one.name for one in asked.locked.local)]


def _measure(prefix: Path) -> tuple[int, int]:
    files = size_bytes = 0
    for folder, _, names in os.walk(prefix):
        files += len(names)
        size_bytes += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)  # noqa: PTH118 - thousands
    return files, size_bytes


def _register(asked: _Asked, tools: BuildTools, project: str) -> None:
    StoreIndex(tools.store.index).name(
        Named(asked.name, project, asked.locked.platform, asked.key, asked.lock_digest, tools.clock.now_ms())
    )


def _wait(who: str, what: str) -> Phase:
    return Phase("wait", what=f"{who} {what}")
