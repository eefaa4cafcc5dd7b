"""Carry a run on after one of its jobs ended. Needs the ledger only, so that the worker stays light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbplat.backfill.states import AFTER_JOB, KIND, STEPS, RunState, Step
from nbplat.job import Job, JobDraft, JobState, JobStore, Run

__all__ = ["left_branch", "queue_step", "settle"]


_BAD = (JobState.FAILED, JobState.CANCELLED)


def queue_step(store: JobStore, run: Run, step: Step, owner: str, params: Mapping[str, Any] | None = None) -> Job:
    """Queue a step of a run, or find the same one queued or running."""
    return store.submit(JobDraft(kind=step, run_id=run.id, params=params or {}), kind_of_run=KIND, owner=owner)[0]


def left_branch(store: JobStore, job: Job) -> Run | None:
    """The run of a promotion or roll back that ended badly and may have left a branch; None for any other job.

    Ask before `settle`, which makes the answer None.
    """
    if job.kind not in (Step.PROMOTE, Step.ROLLBACK) or job.state not in _BAD or not _is_newest(store, job):
        return None
    run = store.run(KIND, job.run_id)
    return run if run.state == STEPS[Step(job.kind)][1] else None


def settle(store: JobStore, job: Job) -> None:
    """Move the run back to its last completed state, or on to the next step.

    Safe to repeat, also much later: a job that is not the run's newest any more changes nothing.
    """
    if not _is_newest(store, job):
        return
    run = store.run(KIND, job.run_id)
    step = Step(job.kind)
    if job.state in _BAD and run.state == STEPS[step][1]:
        back = AFTER_JOB[step, job.state] or RunState(run.outputs["rollback_from"])
        store.move_run(KIND, run.id, back, frm=[run.state], error=job.error)
    if job.state in _BAD:
        _settle_train(store, job, step)
    if job.state is not JobState.SUCCEEDED:
        return
    if run.state == RunState.STAGED and step is Step.STAGE:
        queue_step(store, run, Step.AUDIT, job.owner)
    if run.state == RunState.AUDITED:
        run = store.move_run(KIND, run.id, RunState.AWAITING_PROMOTION, frm=[RunState.AUDITED])
        if run.spec.get("promote"):
            queue_step(store, run, Step.PROMOTE, job.owner)


def _is_newest(store: JobStore, job: Job) -> bool:
    return next(each.id for each in store.jobs(run_id=job.run_id) if each.kind in frozenset(Step)) == job.id


def _settle_train(store: JobStore, job: Job, step: Step) -> None:
    """The other runs of a promotion that failed go back as well."""
    for run_id in job.params.get("train", ()):
        run = store.run(KIND, run_id)
        newer = [each for each in store.jobs(run_id=run_id, limit=1) if each.id > job.id]
        if run.id != job.run_id and run.state == STEPS[step][1] and not newer:
            back = AFTER_JOB[step, job.state]
            assert back is not None  # noqa: S101 - only promotions have a train
            store.move_run(KIND, run.id, back, frm=[run.state], error=job.error)
