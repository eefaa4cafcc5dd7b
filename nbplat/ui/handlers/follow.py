"""Follow a backfill run until it rests, showing progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nbplat.errors import NbplatError, RemoteError, from_record
from nbplat.terms import Progress
from nbplat.ui.desk import Desk
from nbplat.ui.render.progress import progress_html, progress_text
from nbplat.ui.render.result import Result

__all__ = ["RESTING", "follow", "follow_job", "job_result", "job_title", "live_job"]

# States a run stays in until a person acts.
RESTING = frozenset({"planned", "rejected", "awaiting_promotion", "promoted", "rolled_back", "superseded", "expired"})

_SETTLE_S = 30.0
_POLL_S = 0.05


def follow(
    desk: Desk, run_id: str, job: dict[str, Any] | None, show: Callable[[Result], None]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Wait until the run rests, or its job is paused.

    Returns:
        What `Desk.show` says of it, and the record of the last job that was watched.

    Raises:
        NbplatError: the error of the job that failed; the run is back in its last completed state.
    """
    last = job
    quiet_since = time.monotonic()
    while True:
        if job is not None:
            last = desk.watch(job["id"], lambda record: show(job_result(record)))
            if last["state"] == "paused":
                return desk.show(run_id), last
            quiet_since = time.monotonic()
            if last["state"] == "failed" and last["error"]:
                raise _failure(last)
        seen = desk.show(run_id)
        job = live_job(seen)
        if job is None and seen["run"]["state"] in RESTING:
            return seen, last
        if job is None and last is not None and last["state"] == "cancelled":
            return seen, last  # back in its last completed state, from which nothing goes on by itself
        if job is None:
            # Between the end of one job and the start of the next there is a moment without any.
            if time.monotonic() - quiet_since > _SETTLE_S:
                raise RemoteError(
                    "run.stuck",
                    f"{run_id} is {seen['run']['state']} and no job works on it",
                    fix="look at `%nbplat status`; `nbplat service stop` and any command start it anew",
                )
            time.sleep(_POLL_S)


def follow_job(desk: Desk, job: dict[str, Any], show: Callable[[Result], None]) -> dict[str, Any]:
    """Wait until one job has ended or is paused; returns its last record.

    Raises:
        NbplatError: the error of a job that failed.
    """
    while True:
        job = desk.watch(job["id"], lambda record: show(job_result(record)))
        if job["state"] == "failed" and job["error"]:
            raise _failure(job)
        if job["ended"] or job["state"] == "paused":
            return job


def live_job(seen: dict[str, Any]) -> dict[str, Any] | None:
    """The job of a run, as `Desk.show` says it, that is queued, runs or is paused; None when none is."""
    return next((job for job in seen["jobs"] if not job["ended"]), None)


def job_title(job: dict[str, Any]) -> str:
    """``spend_90d@1 stage``."""
    return f"{job['run_id']} {job['kind'].split('.')[-1]}"


def job_result(job: dict[str, Any]) -> Result:
    """A job as one line, a bar, and the record that the labextension draws live."""
    progress = Progress(**job["progress"])
    elapsed = None
    if job["started_ms"]:
        elapsed = ((job["ended_ms"] or time.time() * 1000) - job["started_ms"]) / 1000
    title, state = job_title(job), job["state"]
    return Result(
        text=progress_text(title, state, progress, elapsed_s=elapsed),
        html=progress_html(title, state, progress, elapsed_s=elapsed),
        job={key: job[key] for key in ("id", "kind", "run_id", "state", "progress", "started_ms", "ended_ms")},
        data=job,
    )


def _failure(job: dict[str, Any]) -> NbplatError:
    error = from_record(job["error"])
    error.where = error.where or f"job {job['id']}"
    return error
