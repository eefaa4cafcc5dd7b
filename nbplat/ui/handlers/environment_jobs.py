"""`nbplat env lock|build|pack|push|pull`: durable jobs, asked for by cell, line, shell or Python alike."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbplat.errors import Conflict, NotFound, RequestError
from nbplat.service.caller_variables import variable_marks
from nbplat.service.environment_verbs import login_variables
from nbplat.service.wake import notify_worker
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Declared, Place, declared_in, find_declared, maybe_declared
from nbplat.ui.handlers.environment_result import (
    build_result,
    lock_result,
    pack_result,
    plan_result,
    pull_result,
    push_result,
    under_way_result,
)
from nbplat.ui.handlers.follow import follow_job, job_result
from nbplat.ui.render.result import Result

__all__ = ["archive_options", "build", "built", "lock", "locked", "pack", "packed", "pull", "pulled", "push", "pushed"]

Show = Callable[[Result], None]


def lock(call: Call) -> Result:
    """Solve a declaration, or say whether its lock is up to date."""
    options, place = call.options, Place()
    if options.check:
        return _checked(place, call)
    file = getattr(options, "body_file", None)
    found = find_declared(place, options.environment, body=call.body, file=file)
    asked = {
        "upgrade": options.upgrade,
        "upgrade_packages": options.upgrade_package,
        "platforms": options.platforms,
        "offline": options.offline,
    }
    return locked(place, found, dry_run=options.dry_run, wait=options.wait, show=call.show, **asked)


def locked(
    place: Place, found: Declared, *, dry_run: bool = False, wait: bool = True, show: Show, **asked: Any
) -> Result:
    """Ask for a lock, follow it, and show what it changes; with `dry_run` nothing is written."""
    request = {**found.request(place), **_lock_of(place, found), **asked}
    if dry_run:
        return _planned(place, found, request["lock"], show=show, **asked)
    job = _done(place, "lock", request, wait=wait, show=show)
    if not _succeeded(job):
        return under_way_result(found.definition.name, job)
    _keep(place, found, job["result"])
    return lock_result(found.definition, job)


def build(call: Call) -> Result:
    """Build what a lock says; a cell is locked first."""
    options, place = call.options, Place()
    file = getattr(options, "body_file", None)
    found = find_declared(place, options.environment, body=call.body, file=file)
    asked = {"platform": options.platform or "", "offline": options.offline, "imports": options.imports}
    relock = options.lock or call.body is not None
    return built(place, found, relock=relock, wait=options.wait, show=call.show, **asked)


def built(place: Place, found: Declared, *, relock: bool, wait: bool = True, show: Show, **asked: Any) -> Result:
    """Ask for a build and follow it."""
    request = {**found.request(place), **_lock_of(place, found), "relock": relock, **asked}
    job = _done(place, "build", request, wait=wait, show=show)
    if not _succeeded(job):
        return under_way_result(found.definition.name, job)
    if job["result"]["locked"]:
        _keep(place, found, job["result"]["locked"])
    return build_result(found.definition, job)


def pack(call: Call) -> Result:
    """Make an archive."""
    options = call.options
    place = Place()
    asked = {
        "platform": options.platform or "",
        "options": archive_options(place, options.environment, **_said(options)),
    }
    return packed(
        place, options.environment, to=options.to, explain=options.explain, wait=options.wait, show=call.show, **asked
    )


def packed(
    place: Place,
    word: str | None,
    *,
    to: str | Path | None = None,
    explain: bool = False,
    wait: bool = True,
    show: Show,
    **asked: Any,
) -> Result:
    """Ask for an archive and follow it; with `to` a copy is put there."""
    if to is not None and place.away:
        raise RequestError(
            "env.away", f"the archive is made by the service at {place.away}", fix="push it: nbplat env push NAME URI"
        )
    if to is not None and not wait:
        raise RequestError(
            "usage.arguments", "--to needs the archive, --background does not wait for it", fix="give one"
        )
    name, request = built_word(place, word)
    job = _done(place, "pack", {**request, **asked}, wait=wait, show=show)
    if not _succeeded(job):
        return under_way_result(name, job)
    copy = _copied(job["result"], Path(to)) if to is not None else None
    explained = place.store.ask("explain", {**request, **asked}) if explain else None
    return pack_result(name, job, explained=explained, copy=copy)


def push(call: Call) -> Result:
    """Ship an archive."""
    options = call.options
    place = Place()
    asked = {
        "platform": options.platform or "",
        "options": archive_options(place, options.environment, **_said(options)),
    }
    return pushed(place, options.environment, options.uri, wait=options.wait, show=call.show, **asked)


def pushed(place: Place, word: str | None, uri: str, *, wait: bool = True, show: Show, **asked: Any) -> Result:
    """Ask for the shipping of an archive and follow it."""
    name, request = built_word(place, word)
    job = _done(place, "push", {**request, "uri": located(uri), **asked}, wait=wait, show=show)
    return push_result(name, job) if _succeeded(job) else under_way_result(name, job)


def pull(call: Call) -> Result:
    """Fetch an archive."""
    options = call.options
    return pulled(Place(), options.uri, called=options.called or "", wait=options.wait, show=call.show)


def pulled(place: Place, uri: str, *, called: str = "", wait: bool = True, show: Show) -> Result:
    """Ask for an archive to be fetched and follow it."""
    job = _done(place, "pull", {"uri": located(uri), "called": called}, wait=wait, show=show)
    return pull_result(job) if _succeeded(job) else under_way_result(called or uri, job)


def built_word(place: Place, word: str | None) -> tuple[str, dict[str, Any]]:
    """The name, and what a request says of a built environment.

    A name of a declaration means what its lock says now, where that is built; else what the store calls so.
    """
    found = maybe_declared(place, word)
    if found is None:
        if word is None:
            raise NotFound("env.unknown", "which environment is not said", fix="name one; `nbplat env list` has them")
        return word, {"environment": word, "folder": str(place.project.absolute())}
    name = found.definition.name
    return name, {"environment": name, "folder": "" if place.away else found.definition.folder}


def located(uri: str) -> str:
    """A path made absolute: the job runs in a process with another folder."""
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


def _checked(place: Place, call: Call) -> Result:
    """`lock --check`: of one declaration, or of all; raises when one is out of date."""
    word, file = call.options.environment, getattr(call.options, "body_file", None)
    if word is None and file is None:
        names = list(declared_in(place.project))
        if not names:
            find_declared(place, None)
        every = [find_declared(place, name) for name in names]
    else:
        every = [find_declared(place, word, file=file)]
    rows = [(each.definition.name, str(each.lock_path), _checked_one(each)) for each in every]
    stale = [row for row in rows if row[2]]
    notes = {each.definition.name: _lacking(each) for each in every}
    lines = []
    for name, path, wrong in rows:
        lines.append(f"{name} {'out of date' if wrong else 'up to date'} {path}")
        lines += [f"  note: {note}" for note in notes[name]]
    if stale:
        told = [f"{path}: {line}" for _, path, wrong in stale for line in wrong]
        fix = f"nbplat env lock {' '.join(name for name, _, _ in stale[:1])}"
        raise Conflict("env.lock_old", "\n  ".join(["locks are out of date", *told]), fix=fix)
    return Result(
        "\n".join(lines),
        data=[{"name": name, "lock": path, "wrong": wrong, "notes": notes[name]} for name, path, wrong in rows],
    )


def _checked_one(found: Declared) -> list[str]:
    """What of a lock is not what its declaration says, a line each."""
    from nbplat.environment.lock_check import check_lock
    from nbplat.environment.lock_file import read_lock

    assert found.lock_path is not None  # noqa: S101 - it was read from a file
    try:
        lock = read_lock(found.lock_path)
    except NotFound as exc:
        return [exc.message]
    return [f"{each.text}{f' ({each.place})' if each.place else ''}" for each in check_lock(found.definition, lock)]


def _lacking(found: Declared) -> list[str]:
    """What channel folders of this machine lack of a lock: no fault of the lock, but a build would stop there."""
    from nbplat.environment.channel.lacking import lacking_of_lock
    from nbplat.environment.lock_file import read_lock

    if found.lock_path is None or not found.lock_path.is_file():
        return []
    return list(lacking_of_lock(read_lock(found.lock_path), found.definition.folder))


def _planned(
    place: Place,
    found: Declared,
    lock: str | None,
    *,
    show: Show,
    upgrade: bool,
    upgrade_packages: Any,
    platforms: Any,
    offline: bool,
) -> Result:
    """What a lock would be. In this process: a plan is no job, and leaves nothing behind."""
    from nbplat.environment.lock_report import lock_report
    from nbplat.environment.phases import phase_text

    environments = place.platform.environments
    old = environments.versions_to_keep(found.definition, lock)
    made = environments.lock(
        found.definition,
        old=old,
        fresh=upgrade,
        upgrade=upgrade_packages,
        only=platforms,
        offline=offline,
        say=lambda phase: show(Result(f"{found.definition.name} lock {phase_text(phase, 0.0)}")),
    )
    return plan_result(found.definition, lock_report(made, old))


def _lock_of(place: Place, found: Declared) -> dict[str, Any]:
    """The lock that a declaration has: its text, and the file that the job may write to."""
    path = found.lock_path
    if path is None:
        return {"lock": None, "lock_file": ""}
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {"lock": text, "lock_file": "" if place.away else str(path.absolute())}


def _keep(place: Place, found: Declared, done: dict[str, Any]) -> None:
    """A lock that a service elsewhere has made is written here."""
    from nbplat.environment.definition_file import write_text

    if place.away and found.lock_path is not None:
        write_text(found.lock_path, done["lock"])


def _done(place: Place, verb: str, request: dict[str, Any], *, wait: bool, show: Show) -> dict[str, Any]:
    """Queue a job, and with `wait` follow it to its end."""
    desk = place.desk
    if verb in ("lock", "build") and not place.away:
        names = login_variables(place.platform.environments)
        request = {**request, "variables": variable_marks(os.environ, names)}
    job: dict[str, Any] = desk.environments.queue(verb, request)["job"]
    notify_worker(desk.config)
    if not wait:
        return job
    show(job_result(job))
    return follow_job(desk, job, show)


def _succeeded(job: dict[str, Any]) -> bool:
    return bool(job["state"] == "succeeded")


def archive_options(
    place: Place,
    word: str | None,
    *,
    format: str | None = None,
    target: str | None = None,
    slim: bool | None = None,
    fast: bool = False,
    pyc: bool | None = None,
) -> dict[str, Any]:
    """Options of an archive: what the declaration says, changed by what a call says (None says nothing)."""
    found = maybe_declared(place, word)
    options: dict[str, Any] = {}
    if found is not None:
        rules = found.definition.pack
        options = {"format": rules.format, "slim": rules.slim, "pyc": rules.pyc}
        options |= {"keep": list(rules.keep), "drop": list(rules.drop)}
        if found.definition.targets.ray and not found.definition.targets.spark:
            options["target"] = "ray"
    said = {"format": format, "target": target, "slim": slim, "pyc": pyc, "level": 1 if fast else None}
    return options | {name: value for name, value in said.items() if value is not None}


def _said(options: Any) -> dict[str, Any]:
    return {
        "format": options.format,
        "target": options.target,
        "slim": True if options.slim else None,
        "fast": options.fast,
        "pyc": False if options.no_pyc else None,
    }


def _copied(made: dict[str, Any], to: Path) -> Path:
    """Put a copy of an archive to a path; a folder gets it under its own name."""
    archive = Path(made["archive"])
    target = to / archive.name if to.is_dir() else to
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    shutil.copyfile(archive, beside)
    beside.replace(target)
    return target
