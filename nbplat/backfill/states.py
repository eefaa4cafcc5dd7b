"""Run states of a backfill, the only moves between them, and what the end of a job does to its run."""

from __future__ import annotations

from enum import StrEnum

from nbplat.job import JobState

__all__ = ["AFTER_JOB", "ALL_RUNS", "DONE", "KIND", "LIVE_STATES", "MOVES", "STEPS", "RunState", "Step", "stage_scope"]

KIND = "backfill"
"""Of these runs in the ledger."""

ALL_RUNS = 1_000_000
"""A limit for questions that must not miss a run."""


class RunState(StrEnum):
    """Where a backfill run is."""

    PLANNED = "planned"
    STAGING = "staging"
    STAGED = "staged"
    AUDITING = "auditing"
    AUDITED = "audited"
    REJECTED = "rejected"
    AWAITING_PROMOTION = "awaiting_promotion"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Step(StrEnum):
    """A job of a backfill run."""

    STAGE = "backfill.stage"
    AUDIT = "backfill.audit"
    PROMOTE = "backfill.promote"
    ROLLBACK = "backfill.rollback"


S = RunState

MOVES: dict[RunState, frozenset[RunState]] = {
    S.PLANNED: frozenset({S.STAGING, S.ROLLED_BACK, S.EXPIRED}),
    S.STAGING: frozenset({S.STAGED, S.PLANNED}),
    S.STAGED: frozenset({S.AUDITING, S.ROLLING_BACK}),
    S.AUDITING: frozenset({S.AUDITED, S.REJECTED, S.STAGED}),
    S.AUDITED: frozenset({S.AWAITING_PROMOTION}),
    S.REJECTED: frozenset({S.AUDITING, S.ROLLING_BACK, S.EXPIRED}),
    S.AWAITING_PROMOTION: frozenset({S.AUDITING, S.PROMOTING, S.ROLLING_BACK, S.SUPERSEDED, S.EXPIRED}),
    S.PROMOTING: frozenset({S.PROMOTED, S.AWAITING_PROMOTION}),
    S.PROMOTED: frozenset({S.ROLLING_BACK, S.SUPERSEDED}),
    # Back to where it came from when the roll back cannot be done.
    S.ROLLING_BACK: frozenset({S.ROLLED_BACK, S.STAGED, S.REJECTED, S.AWAITING_PROMOTION, S.PROMOTED, S.SUPERSEDED}),
    S.ROLLED_BACK: frozenset({S.EXPIRED}),
    S.SUPERSEDED: frozenset({S.EXPIRED, S.ROLLING_BACK}),
    S.EXPIRED: frozenset(),
}

# Running an equal cell attaches to a run in one of these.
LIVE_STATES = frozenset(S) - {S.REJECTED, S.ROLLING_BACK, S.ROLLED_BACK, S.SUPERSEDED, S.EXPIRED}

# Step -> (states it may start from, the state while it runs).
STEPS: dict[Step, tuple[frozenset[RunState], RunState]] = {
    Step.STAGE: (frozenset({S.PLANNED}), S.STAGING),
    Step.AUDIT: (frozenset({S.STAGED, S.REJECTED, S.AWAITING_PROMOTION}), S.AUDITING),
    Step.PROMOTE: (frozenset({S.AWAITING_PROMOTION}), S.PROMOTING),
    Step.ROLLBACK: (
        frozenset({S.STAGED, S.REJECTED, S.AWAITING_PROMOTION, S.PROMOTED, S.SUPERSEDED}),
        S.ROLLING_BACK,
    ),
}

# Step -> the state a finished step leaves; a repeated try that finds it has nothing left to do.
DONE: dict[Step, RunState] = {
    Step.STAGE: S.STAGED,
    Step.AUDIT: S.AUDITED,
    Step.PROMOTE: S.PROMOTED,
    Step.ROLLBACK: S.ROLLED_BACK,
}

# What the end of a job makes of a run that is still in the state of that step. A job that
# succeeds moves its run itself, in the step; cancelling or failing returns the run to its last
# completed state, which for a roll back is remembered in the run's outputs.
AFTER_JOB: dict[tuple[Step, JobState], RunState | None] = {
    (Step.STAGE, JobState.FAILED): S.PLANNED,
    (Step.STAGE, JobState.CANCELLED): S.PLANNED,
    (Step.AUDIT, JobState.FAILED): S.STAGED,
    (Step.AUDIT, JobState.CANCELLED): S.STAGED,
    (Step.PROMOTE, JobState.FAILED): S.AWAITING_PROMOTION,
    (Step.PROMOTE, JobState.CANCELLED): S.AWAITING_PROMOTION,
    (Step.ROLLBACK, JobState.FAILED): None,
    (Step.ROLLBACK, JobState.CANCELLED): None,
}


def stage_scope(run_id: str) -> str:
    """The ledger scope of a run's staging units."""
    return f"{run_id}/stage"
