"""Jobs of environments; a run of the ledger is one environment by its name, and its jobs stand alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from nbplat.errors import Conflict
from nbplat.job import Job, JobDraft, JobStore, Run, RunDraft
from nbplat.terms import content_hash

__all__ = ["KEPT", "KIND", "EnvironmentStep", "keep_lock", "kept_lock", "open_run", "queue"]

KIND = "environment"
"""Of these runs in the ledger."""

KEPT = "kept"


class EnvironmentStep(StrEnum):
    """A job of an environment."""

    LOCK = "environment.lock"
    BUILD = "environment.build"
    PACK = "environment.pack"
    PUSH = "environment.push"
    PULL = "environment.pull"


def open_run(ledger: JobStore, name: str, owner: str) -> Run:
    """The run of an environment's name; made at the first question."""
    draft = RunDraft(KIND, _slug(name), _identity(name), KEPT, frozenset({KEPT}), {"name": name}, plan={}, owner=owner)
    run, _ = ledger.open_run(draft)
    return run


def queue(ledger: JobStore, name: str, step: EnvironmentStep, params: Mapping[str, Any], owner: str) -> tuple[Run, Job]:
    """Queue a job, or attach to one under way that was asked for in the same words.

    Raises:
        Conflict: ``env.busy``: the same step runs with something else; ``run.busy``: another step runs.
    """
    run = open_run(ledger, name, owner)
    job, fresh = ledger.submit(JobDraft(step, run.id, params), kind_of_run=KIND, owner=owner)
    if not fresh and content_hash(dict(job.params)) != content_hash(dict(params)):
        verb = step.rpartition(".")[2]
        raise Conflict(
            "env.busy",
            f"another {verb} of {name} is under way (job {job.id})",
            fix=f"wait for it, or end it: nbplat job cancel {job.id}",
        )
    return run, job


def kept_lock(ledger: JobStore, name: str) -> str:
    """The lock of a declaration that has no file, such as a cell; empty when it was never locked."""
    identity = _identity(name)
    run = next((run for run in ledger.runs(KIND, name=_slug(name)) if run.identity == identity), None)
    return str(run.outputs.get("lock", "")) if run is not None else ""


def keep_lock(ledger: JobStore, run_id: str, text: str) -> None:
    """Keep the lock of a declaration that has no file."""
    ledger.move_run(KIND, run_id, KEPT, frm=[KEPT], outputs={"lock": text})


def _identity(name: str) -> str:
    return content_hash({"environment": name})


def _slug(name: str) -> str:
    """Runs are named by lower-case identifiers; what people call it stands in the spec, and tells equal ones apart."""
    slug = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return (slug if slug[:1].isalpha() else f"e{slug}")[:63]
