"""Carry a sequence run on after one of its jobs ended. Needs the ledger only, so that the worker stays light."""

from __future__ import annotations

from nbplat.job import END_STATES, Job, JobStore
from nbplat.sequence.states import KIND, SequenceState, SequenceStep, after_job

__all__ = ["settle"]


def settle(store: JobStore, job: Job) -> None:
    """Move the run back to its last completed state. Safe to repeat, also much later.

    A job that is not the run's newest any more changes nothing.
    """
    steps = frozenset(SequenceStep)
    newest = next((each.id for each in store.jobs(run_id=job.run_id) if each.kind in steps), None)
    if job.state not in END_STATES or newest != job.id:
        return
    run = store.run(KIND, job.run_id)
    to = after_job(SequenceStep(job.kind), job.state, SequenceState(run.state))
    if to != run.state:
        store.move_run(KIND, run.id, to, frm=[run.state], error=job.error)
