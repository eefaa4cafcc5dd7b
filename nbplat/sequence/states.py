"""States of a sequence run, the only moves between them, and what the end of a job does to its run."""

from __future__ import annotations

from enum import StrEnum

from nbplat.job import JobState

__all__ = ["ALL_RUNS", "KIND", "LIVE_STATES", "MOVES", "SequenceState", "SequenceStep", "after_job"]

KIND = "sequence"
"""Of these runs in the ledger."""

ALL_RUNS = 1_000_000
"""A limit for questions that must not miss a run."""


class SequenceState(StrEnum):
    """Where a kept definition is."""

    KEPT = "kept"
    BUILDING = "building"
    BUILT = "built"


class SequenceStep(StrEnum):
    """A job of a sequence run."""

    BUILD = "sequence.build"
    CORRECT = "sequence.correct"
    EXPORT = "sequence.export"


S = SequenceState

MOVES: dict[SequenceState, frozenset[SequenceState]] = {
    S.KEPT: frozenset({S.BUILDING, S.BUILT}),
    S.BUILDING: frozenset({S.BUILT, S.KEPT}),
    # A built index is brought up to date by the same step; meanwhile it stays readable, and the run stays built.
    S.BUILT: frozenset(),
}

# Keeping an equal definition attaches to a run in one of these; no state is dead.
LIVE_STATES = frozenset(S)


def after_job(step: SequenceStep, end: JobState, state: SequenceState) -> SequenceState:
    """Where a run in `state` is once a job of it has ended; a job that succeeded has moved its run itself."""
    if step is SequenceStep.BUILD and state is S.BUILDING and end in (JobState.FAILED, JobState.CANCELLED):
        return S.KEPT
    return state
