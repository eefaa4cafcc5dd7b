"""The work of environment jobs: from the parameters of a job to its result, both JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.environment.definition_file import write_text
from nbplat.environment.lock_report import lock_report
from nbplat.environment.phases import SHARES, PhaseReport
from nbplat.environment.ports import Say
from nbplat.environment.states import EnvironmentStep, keep_lock
from nbplat.errors import InternalError
from nbplat.job import StepContext

if TYPE_CHECKING:
    from nbplat.environment.build import BuildDone
    from nbplat.environment.definition import Definition
    from nbplat.environment.environments import Environments
    from nbplat.environment.lock_record import Lock
    from nbplat.environment.pack_record import Pack

__all__ = ["run_step"]


def run_step(environments: Environments, context: StepContext) -> dict[str, Any]:
    """Do the work of one job; what it did before it was killed is found again and not done twice."""
    steps: Mapping[str, Callable[[_Work], dict[str, Any]]] = {
        EnvironmentStep.LOCK: _Work.lock,
        EnvironmentStep.BUILD: _Work.build,
        EnvironmentStep.PACK: _Work.pack,
        EnvironmentStep.PUSH: _Work.push,
        EnvironmentStep.PULL: _Work.pull,
    }
    job = context.job
    step = steps.get(job.kind)
    if step is None:
        raise InternalError("job.kind", f"no step is called {job.kind!r}", fix="a newer nbplat queued it: upgrade")
    say = PhaseReport(SHARES[job.kind], context.report.progress, context.report.log, environments.clock)
    done = step(_Work(environments, context, say))
    say.finish()
    return done


class _Work:
    def __init__(self, environments: Environments, context: StepContext, say: Say) -> None:
        self._environments, self._context, self._say = environments, context, say
        self._params = context.job.params

    def lock(self) -> dict[str, Any]:
        return self._locked()[1]

    def build(self) -> dict[str, Any]:
        params, environments = self._params, self._environments
        definition = self._definition()
        locked: dict[str, Any] | None = None
        if params["relock"] and environments.out_of_date(definition, params["lock"]):
            lock, locked = self._locked()
        else:
            lock = environments.fresh_lock(definition, params["lock"])
        done = environments.build(
            lock,
            params["platform"],
            folder=definition.folder,
            offline=params["offline"],
            imports=params["imports"],
            say=self._say,
        )
        return {**_built_record(done), "locked": locked}

    def pack(self) -> dict[str, Any]:
        ref = self._environments.by_key(self._params["key"], self._params["name"])
        return _pack_record(self._environments.pack(ref, self._params["options"] or {}, self._say))

    def push(self) -> dict[str, Any]:
        environments, params = self._environments, self._params
        ref = environments.by_key(params["key"], params["name"])
        made = environments.pack(ref, params["options"] or {}, self._say)
        shipped = environments.push(made, params["uri"], self._say)
        return {"pack": _pack_record(made), "shipped": shipped.record(), "ref": ref.record()}

    def pull(self) -> dict[str, Any]:
        ref = self._environments.pull(self._params["uri"], name=self._params["called"], say=self._say)
        return {"ref": ref.record(), "uri": self._params["uri"]}

    def _definition(self) -> Definition:
        params = self._params
        return self._environments.define(params["text"], name=params["name"], folder=params["folder"])

    def _locked(self) -> tuple[Lock, dict[str, Any]]:
        """Solve; write the lock to its file, or keep it with the run of a declaration that has none."""
        environments, params = self._environments, self._params
        definition = self._definition()
        old = environments.versions_to_keep(definition, params["lock"])
        lock = environments.lock(
            definition,
            old=old,
            fresh=params["upgrade"],
            upgrade=params["upgrade_packages"],
            only=params.get("platforms") or (),
            offline=params["offline"],
            say=self._say,
        )
        text = environments.lock_text(lock)
        if params["lock_file"]:
            path = Path(params["lock_file"])
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
        elif params["lock"] is None:
            keep_lock(environments.ledger, self._context.job.run_id, text)
        return lock, {"lock": text, "file": params["lock_file"], **lock_report(lock, old)}


def _built_record(done: BuildDone) -> dict[str, Any]:
    built, installed = done.built, done.installed
    notes = [
        f"{name} was damaged in the store and was fetched again; what was built before may share the changed file: "
        "nbplat env verify --repair"
        for name in installed.repaired
    ]
    notes += [f"{name} has a script that conda would run after linking; it was not run" for name in installed.scripts]
    return {
        "ref": done.ref.record(),
        "found": done.found,
        "seconds": done.seconds,
        "packages": len(built.lock.conda) + len(built.lock.pip) + len(built.lock.local),
        "files": built.files,
        "size_bytes": built.size_bytes,
        "linked": built.linked,
        "fetched_bytes": installed.fetched_bytes,
        "fetched": list(installed.fetched),
        "notes": notes,
    }


def _pack_record(made: Pack) -> dict[str, Any]:
    return {
        "archive": str(made.archive),
        "sha256": made.sha256,
        "size": made.size,
        "format": made.format,
        "layers": made.layers,
        "made": made.made,
        "notes": list(made.notes),
    }
