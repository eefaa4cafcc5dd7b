"""What is asked of environments, the same over HTTP and in process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nbplat.environment.launcher import NodeCache
from nbplat.environment.states import KIND, EnvironmentStep, queue
from nbplat.service.asker import owner_said
from nbplat.service.caller_variables import check_variables
from nbplat.service.records import job_record, run_record

if TYPE_CHECKING:
    from nbplat.environment.environments import Environments

__all__ = [
    "ANSWERED",
    "QUEUED",
    "Asked",
    "build",
    "check",
    "conf",
    "define",
    "explain",
    "gc",
    "listed",
    "lock",
    "login_variables",
    "pack",
    "pull",
    "push",
    "seen",
    "usage",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks of an environment.

    Attributes:
        environment: Its name, or the start of a key.
        owner: Who asks.
        text: Of the declaration.
        name: Of a text without the key ``name``.
        folder: Folder that the declaration's paths start from; empty: it has none that the service sees.
        lock: Text of the lock that there is; None: there is none, or the one that the store keeps for a cell.
        lock_file: Path that a new lock is written to by the job itself; empty: the caller does, or the store keeps it.
        upgrade: Do not hold on to anything that the old lock has.
        upgrade_packages: Nor to these, and what they need.
        platforms: The only ones that are locked now; empty locks every one.
        relock: Lock first when the declaration has changed.
        offline: Use nothing but what lies on that machine.
        imports: Try to import what the declaration asks for by name.
        platform: Empty takes that machine's.
        key: Of the environment that is packed or pushed; empty: by `environment`.
        options: Of an archive: ``format``, ``target``, ``slim``, ``pyc``, ``level``.
        uri: Where an archive is pushed to, or lies.
        called: Name that a pulled environment is kept under; empty: that of its manifest.
        target, way, node_cache, fetch: Of settings.
        against: What it is checked against; empty: the machine.
        spark, ray: Versions that it is checked for; empty: those that it declares.
        older_than_s: Sweep also what is only kept for its name and was not used for so long; None keeps it.
        dry_run: Sweep nothing, only say.
        repair: Mend what is wrong.
        variables: Marks of the caller's environment variables that decide about solving and installing; None leaves
            them unchecked. See `nbplat.service.caller_variables`.
    """

    # It is also the body of a request, which pydantic reads; an unknown key is refused.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    environment: str = ""
    owner: str = ""
    text: str | None = None
    name: str | None = None
    folder: str = ""
    lock: str | None = None
    lock_file: str = ""
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    relock: bool = False
    offline: bool = False
    imports: bool = True
    platform: str = ""
    key: str = ""
    options: Mapping[str, Any] | None = None
    uri: str = ""
    called: str = ""
    target: str = ""
    way: str = ""
    node_cache: str = ""
    fetch: str = ""
    against: str = ""
    spark: str = ""
    ray: str = ""
    older_than_s: float | None = None
    dry_run: bool = True
    repair: bool = False
    variables: Mapping[str, str] | None = None


def define(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Read a declaration: its record, what is taken by default, and where each key stands."""
    found = environments.define(asked.text or "", name=asked.name, folder=asked.folder)
    return {
        "record": found.record(),
        "solved_by": found.solved_by,
        "defaults": list(found.defaults),
        "places": dict(found.places),
    }


def lock(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Queue the solving of a declaration.

    Returns:
        As all that queue: ``run`` and ``job``.

    Raises:
        Conflict: ``env.variables``, ``env.busy``, ``run.busy``.
    """
    check_variables(asked.variables, os.environ, login_variables(environments))
    found = environments.define(asked.text or "", name=asked.name, folder=asked.folder)
    return _queued(environments, found.name, EnvironmentStep.LOCK, asked, _LOCK)


def build(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Queue the building of what a lock says, with `Asked.relock` after it was solved anew.

    Raises:
        NotFound: ``env.lock_missing``.
        Conflict: ``env.lock_old``, ``env.variables``.
    """
    check_variables(asked.variables, os.environ, login_variables(environments))
    found = environments.define(asked.text or "", name=asked.name, folder=asked.folder)
    if not asked.relock:
        environments.fresh_lock(found, asked.lock)
    return _queued(environments, found.name, EnvironmentStep.BUILD, asked, (*_LOCK, "platform", "imports", "relock"))


def pack(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Queue the making of an archive."""
    environments.check_options(asked.options or {})
    return _of_built(environments, asked, EnvironmentStep.PACK, ("options",))


def push(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Queue the shipping of an archive; it is made first where it is not there."""
    environments.check_options(asked.options or {})
    environments.check_place(asked.uri)
    return _of_built(environments, asked, EnvironmentStep.PUSH, ("options", "uri"))


def pull(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Queue the fetching of an archive."""
    environments.check_archive(asked.uri)
    return _queued(environments, asked.called or "pulled", EnvironmentStep.PULL, asked, ("uri", "called"))


def listed(environments: Environments) -> list[dict[str, Any]]:
    """Built environments, in order of name, newest first."""
    return [each.record() for each in environments.listing()]


def seen(environments: Environments, asked: Asked) -> dict[str, Any]:
    """A built environment: what is in it, its archives, its jobs."""
    ref = environments.find(asked.environment, project=asked.folder, platform=asked.platform)
    runs = [run for run in environments.ledger.runs(KIND, limit=_ALL) if run.spec["name"] == ref.name]
    jobs = [job_record(job) for run in runs for job in environments.ledger.jobs(run_id=run.id)]
    return {**environments.show(ref), "jobs": jobs}


def conf(environments: Environments, asked: Asked) -> dict[str, Any]:
    """The settings of an environment for a target, as a record."""
    ref = environments.find(asked.environment, project=asked.folder, platform=asked.platform)
    cache = NodeCache(folder=asked.node_cache, fetch=asked.fetch)
    return environments.conf(ref, asked.target, way=asked.way, at=asked.uri, cache=cache).record()


def check(environments: Environments, asked: Asked) -> dict[str, Any]:
    """What does not fit, as a record; nothing is raised for a misfit."""
    ref = environments.find(asked.environment, project=asked.folder, platform=asked.platform)
    return environments.check(ref, asked.against, spark=asked.spark, ray=asked.ray).record()


def explain(environments: Environments, asked: Asked) -> dict[str, Any]:
    """What an archive holds, by package, and what rules leave out."""
    ref = environments.find(asked.environment, project=asked.folder, platform=asked.platform)
    return environments.explain_pack(ref, asked.options or {}).record()


def usage(environments: Environments, _asked: Asked) -> dict[str, Any]:
    """What the store holds."""
    return environments.usage().record()


def gc(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Remove what nothing needs, or say what would be."""
    return environments.gc(older_than_s=asked.older_than_s, dry_run=asked.dry_run).record()


def verify(environments: Environments, asked: Asked) -> dict[str, Any]:
    """Hold what is built against its lock."""
    ref = environments.find(asked.environment, project=asked.folder) if asked.environment else None
    report = environments.verify(ref, repair=asked.repair, say=lambda phase: None)
    return {**report.record(), "whole": report.whole}


def login_variables(environments: Environments) -> set[str]:
    """Variables that the channels file takes credentials from."""
    return {login.variable for login in environments.channels.logins.values() if login.variable}


QUEUED = {"lock": lock, "build": build, "pack": pack, "push": push, "pull": pull}
"""Verbs that make a job."""

ANSWERED = {"show": seen, "explain": explain, "conf": conf, "check": check, "usage": usage, "gc": gc, "verify": verify}
"""Verbs that are answered at once."""

_LOCK = ("text", "name", "folder", "lock", "lock_file", "upgrade", "upgrade_packages", "platforms", "offline")
_ALL = 1_000_000


def _of_built(
    environments: Environments, asked: Asked, step: EnvironmentStep, names: tuple[str, ...]
) -> dict[str, Any]:
    ref = environments.find(asked.environment, project=asked.folder, platform=asked.platform)
    return _queued(environments, ref.name, step, asked, names, key=ref.key, name=ref.name)


def _queued(
    environments: Environments, subject: str, step: EnvironmentStep, asked: Asked, names: tuple[str, ...], **more: Any
) -> dict[str, Any]:
    params = {each: getattr(asked, each) for each in names} | more
    run, job = queue(environments.ledger, subject, step, params, owner_said(asked.owner))
    return {"run": run_record(run), "job": job_record(job)}
