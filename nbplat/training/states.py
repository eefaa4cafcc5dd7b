"""States of a training run, and what the end of its job makes of it. Needs the ledger only."""

from __future__ import annotations

from enum import StrEnum

from nbplat.job import Job, JobState, JobStore

__all__ = ["ALL_RUNS", "JOB", "KIND", "REPLAY", "TrainingState", "settle"]

KIND = "training"
"""Of these runs in the ledger."""

JOB = "training.run"
"""Of the job that trains; the caller's own process does it."""

REPLAY = "training.replay"
"""Of the job that trains a kept run again, done in the same way; whatever becomes of it, the run stays kept."""

ALL_RUNS = 1_000_000
"""A limit for questions that must not miss a run."""


class TrainingState(StrEnum):
    """Where a training run is."""

    TRAINING = "training"
    KEPT = "kept"
    FAILED = "failed"
    CANCELLED = "cancelled"


_AFTER = {JobState.FAILED: TrainingState.FAILED, JobState.CANCELLED: TrainingState.CANCELLED}


def settle(store: JobStore, job: Job) -> None:
    """Move the run of a job that failed or was cancelled; one that succeeded has kept it itself. Safe to repeat."""
    to = _AFTER.get(job.state)
    if to is not None and store.run(KIND, job.run_id).state == TrainingState.TRAINING:
        store.move_run(KIND, job.run_id, to, frm=[TrainingState.TRAINING], error=job.error)
