"""What the rest of nbplat asks of the ledger. One contract suite runs over every store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from nbplat.job.record import Event, Job, JobDraft, Lease, Run, RunDraft, Unit
from nbplat.job.states import JobState
from nbplat.terms import Progress

__all__ = ["JobStore"]


class JobStore(Protocol):
    """The durable ledger. Every method is one transaction; every change appends an event."""

    # -- runs ------------------------------------------------------------------------------------
    def open_run(self, draft: RunDraft, *, force_new: bool = False) -> tuple[Run, bool]:
        """Attach to the live run of equal kind, name and identity, or open ``name@n+1``.

        Returns:
            The run, and True when it was opened by this call.
        """

    def run(self, kind: str, run_id: str) -> Run:
        """Read one run. Raises NotFound (with the nearest ids)."""

    def runs(
        self, kind: str | None = None, *, name: str | None = None, limit: int = 100, plans: bool = True
    ) -> list[Run]:
        """Newest first; without `plans` each has an empty one: a plan holds a line a file, a list of runs none."""

    def move_run(
        self,
        kind: str,
        run_id: str,
        to: str,
        *,
        frm: Collection[str],
        outputs: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Run:
        """Compare-and-swap the state; `outputs` is merged into the run's outputs, `error` replaces it.

        Moving to the state it is in already, when that is `to`, succeeds (so a repeated step is safe).
        Raises Conflict when the state is neither in `frm` nor `to`.
        """

    # -- jobs ------------------------------------------------------------------------------------
    def submit(self, draft: JobDraft, *, kind_of_run: str, owner: str) -> tuple[Job, bool]:
        """Queue a job. A live one of the same run and kind is returned instead, with False.

        Raises Conflict when the run has a live job of another kind.
        """

    def begin_job(self, draft: JobDraft, *, kind_of_run: str, owner: str, worker: str, lease_ms: int) -> Job:
        """Put a job down as running, with `worker` as its holder: it was never queued, so nobody else can take it.

        Raises Conflict when the run has a live job.
        """

    def job(self, job_id: str) -> Job:
        """Read one job. Raises NotFound."""

    def jobs(
        self, *, run_id: str | None = None, states: Collection[JobState] | None = None, limit: int = 100
    ) -> list[Job]:
        """Newest first."""

    def claim_job(self, worker: str, *, lease_ms: int) -> Job | None:
        """Take the oldest job that is queued, or running under a lapsed lease; None when there is none.

        A job that its caller does (`nbplat.job.caller`) is never taken: only that process has what it needs.
        """

    def heartbeat(self, job_id: str, fence: int, *, lease_ms: int) -> Job:
        """Keep the lease and read the job (look at ``cancel_requested``). Raises Conflict when the lease was lost."""

    def release_job(self, job_id: str, fence: int) -> None:
        """Put a running job back to queued (a worker that stops in good order); to paused, when it was asked to pause.

        A lost lease is no error.
        """

    def report(self, job_id: str, fence: int, progress: Progress) -> None:
        """Show progress; a lower `done` than shown is ignored. Raises Conflict when the lease was lost."""

    def finish_job(
        self,
        job_id: str,
        fence: int,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Job:
        """End a job. Raises Conflict when the lease was lost or the move is not allowed."""

    def request_cancel(self, job_id: str) -> Job:
        """Ask a job to end; a queued or paused one is cancelled at once. An ended one is returned as it is."""

    def request_pause(self, job_id: str) -> Job:
        """Pause a queued job at once, ask a running one; a paused one is returned as it is.

        Raises Conflict when it has ended.
        """

    def pause_job(self, job_id: str, fence: int) -> Job:
        """What the holder of a running job does when it was asked to pause. Raises Conflict when the lease was lost."""

    def resume_job(self, job_id: str) -> Job:
        """Queue a paused job again; a running one that was asked to pause goes on. Others are returned as they are.

        Raises Conflict when it has ended.
        """

    # -- units -----------------------------------------------------------------------------------
    def plan_units(self, scope: str, unit_ids: Sequence[str]) -> None:
        """Add pending units; those that exist stay as they are."""

    def claim_units(
        self, scope: str, worker: str, *, limit: int, lease_ms: int, max_attempts: int, died: bool | None = None
    ) -> list[Unit]:
        """Lease up to `limit` units that are pending, lapsed, or failed with attempts left, in unit-id order.

        Args:
            died: True for those only that `bury_units` made pending, False for none of them; None for all.
        """

    def finish_unit(self, scope: str, unit_id: str, fence: int, result: Mapping[str, Any]) -> bool:
        """Mark done under the fence. False when the fence is old or it is done already: then nothing counts twice."""

    def finish_units(self, scope: str, done: Mapping[str, tuple[int, Mapping[str, Any]]]) -> set[str]:
        """Mark several done at once: unit id -> fence and result. Returns those that counted (see `finish_unit`)."""

    def renew_units(self, scope: str, worker: str, *, lease_ms: int) -> int:
        """Keep what `worker` holds for longer; returns how many. What lapsed and was claimed by another is not held."""

    def fail_unit(self, scope: str, unit_id: str, fence: int, error: Mapping[str, Any]) -> bool:
        """Mark failed under the fence; False when the fence is old."""

    def release_units(self, scope: str, worker: str) -> int:
        """Give back what `worker` holds, without counting the attempt; returns how many."""

    def bury_units(self, scope: str, worker: str, *, max_attempts: int, error: Mapping[str, Any]) -> list[Unit]:
        """Take back what `worker` held when its process died: the attempt counts.

        Returns:
            The units: failed with `error` where no attempt is left, else pending with it.
        """

    def reset_failed_units(self, scope: str) -> int:
        """Make failed units pending, and take the attempts off all that wait (a person asked to retry).

        Returns:
            How many had failed.
        """

    def units(self, scope: str) -> list[Unit]:
        """All units of a scope in unit-id order."""

    # -- leases ----------------------------------------------------------------------------------
    def take_lease(self, resource: str, holder: str, *, ttl_ms: int) -> Lease:
        """Take a free or lapsed lease with a higher fence; the same holder renews and keeps its fence.

        Raises Conflict (naming the holder and when it lapses) when another holds it.
        """

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> Lease:
        """Raises Conflict when it was taken over."""

    def release_lease(self, lease: Lease) -> None:
        """Give it back; nothing happens when it was taken over."""

    def leases(self) -> list[Lease]:
        """Those that were not released, lapsed ones included, by resource."""

    # -- events ----------------------------------------------------------------------------------
    def emit(
        self, kind: str, *, run_id: str = "", job_id: str = "", unit_id: str = "", data: Mapping[str, Any] | None = None
    ) -> int:
        """Append an event of one's own; returns its sequence number."""

    def events(self, *, after: int = 0, run_id: str | None = None, limit: int = 500) -> list[Event]:
        """Events with ``seq > after``, oldest first."""

    def last_event(self) -> int:
        """The number of the newest event; 0 when there is none."""

    def close(self) -> None:
        """Let go of connections."""
