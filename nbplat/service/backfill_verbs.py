"""What a verb does to a backfill run, the same over HTTP and in process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.backfill.states import Step
from nbplat.errors import RequestError, did_you_mean
from nbplat.service.records import job_record, run_record, submission_record

if TYPE_CHECKING:
    from nbplat.backfill.run import Backfills
    from nbplat.job import JobStore

__all__ = ["VERBS", "carry_out", "seen"]

VERBS = ("audit", "promote", "rollback", "retry", "pause", "resume", "cancel")


def carry_out(
    backfills: Backfills, verb: str, run_ids: Sequence[str], *, owner: str, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Carry out a verb of `VERBS`.

    Args:
        run_ids: One run; for a promotion, as many as there are of one table.
        params: What the verb takes besides, by name.

    Returns:
        ``run``, ``job`` (None when there is nothing to wait for), ``notes``; for a queued step also
        ``plan`` and ``attached``.

    Raises:
        NbplatError: what the verb is refused for.
    """
    if verb not in VERBS:
        raise RequestError("backfill.verb", f"a run has no verb {verb!r}", fix=did_you_mean(verb, VERBS))
    if verb != "promote" and len(run_ids) != 1:
        raise RequestError("backfill.verb", f"{verb} takes one run", fix=f"{verb} them one by one")
    run_id = run_ids[0]
    match verb:
        case "cancel" | "pause":
            run = backfills.cancel(run_id) if verb == "cancel" else backfills.pause(run_id)
            [job] = backfills.store.jobs(run_id=run.id, limit=1)
            return {"run": run_record(backfills.find(run.id)), "job": job_record(job), "notes": []}
        case "resume":
            return submission_record(backfills.resume(run_id))
        case "retry":
            return submission_record(backfills.retry(run_id, owner=owner))
        case _:
            return submission_record(backfills.step(run_id, Step(f"backfill.{verb}"), owner=owner))


def seen(backfills: Backfills, store: JobStore, run_id: str) -> dict[str, Any]:
    """A run with the counts of its units, the units that failed, and its jobs, newest first."""
    run = backfills.find(run_id)
    return {
        "run": run_record(run),
        "units": backfills.progress(run),
        "failed_units": backfills.failed_units(run),
        "jobs": [job_record(job) for job in store.jobs(run_id=run.id)],
    }
