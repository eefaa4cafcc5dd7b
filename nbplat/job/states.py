"""Job states and the only moves between them."""

from __future__ import annotations

from enum import StrEnum

from nbplat.errors import Conflict

__all__ = ["END_STATES", "MOVES", "JobState", "check_move"]


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}),
    # RUNNING -> RUNNING: another worker takes over a lapsed lease. Giving up a lease in good order
    # (JobStore.release_job) puts a job back to queued without being a move: nothing has become of it.
    JobState.RUNNING: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

END_STATES = frozenset(state for state, after in MOVES.items() if not after)


def check_move(job_id: str, before: JobState, after: JobState) -> None:
    """Return when the table allows the move.

    Raises:
        Conflict: when it does not.
    """
    if after not in MOVES[before]:
        raise Conflict(
            "job.state",
            f"job {job_id} is {before} and cannot become {after}",
            fix="nothing to do: it has ended" if before in END_STATES else f"wait until it is {after} by itself",
        )
