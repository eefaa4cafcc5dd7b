"""Pieces of staging, claimed in the ledger only when there is a slot for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.job import JobPaused, JobState, JobStore, StepContext, Unit
from nbplat.remote.task import Task

__all__ = ["Claims"]


class Claims:
    """Hands out pieces of work, claiming their units in the ledger only then.

    Attributes:
        more: False once a round found nothing to claim.
        error: The error that ends the step; None while it goes on.
        pause: What a person's asking to pause raises; None while nobody did.
        stopped: True when the job was cancelled or taken over.
    """

    def __init__(
        self,
        plan: BackfillPlan,
        store: JobStore,
        context: StepContext,
        make: Callable[[Mapping[str, int]], Task],
        scope: str,
        groups: Sequence[Sequence[str]],
        lease_ms: int,
        max_attempts: int,
    ) -> None:
        self._plan, self._store, self._context, self._make = plan, store, context, make
        self._scope, self._lease_ms, self._max_attempts = scope, lease_ms, max_attempts
        self._size_of = {unit_id: len(group) for group in groups for unit_id in group}
        self.more = True
        self.error: Mapping[str, Any] | None = None
        self.pause: JobPaused | None = None
        self.stopped = False

    @property
    def ended(self) -> bool:
        """True when no more may be claimed."""
        return self.stopped or self.pause is not None or self.error is not None

    def tasks(self) -> Iterator[Task]:
        """Claim and hand out until nothing is left to claim, or the step has to end."""
        self.more = False
        while not self.ended:
            try:
                self._context.report.checkpoint()
            except JobPaused as pause:
                # What is under way ends first.
                self.pause = pause
            self.stopped = _asked_to_stop(self._store, self._context)
            claimed = [] if self.ended else self._claim()
            if not claimed:
                break
            self.more = True
            yield self._make({unit.id: unit.fence for unit in claimed})
        if not self.more and not self.ended and (alone := self._claim(died=True)):
            # Nothing else runs in this round: should the process die again, it is this piece's doing.
            self.more = True
            yield self._make({unit.id: unit.fence for unit in alone})
        self.more = self.more and not self.ended

    def _claim(self, *, died: bool = False) -> list[Unit]:
        first = self._take(1, died=died)
        if not first:
            return []
        # A unit that failed before runs alone, so that a poison unit names itself; a body over the
        # whole window fails for all of them alike.
        together = first[0].attempts == 1 or not self._plan.row_wise
        more = self._size_of[first[0].id] - 1 if together else 0
        return first + (self._take(more, died=died) if more else [])

    def _take(self, limit: int, *, died: bool) -> list[Unit]:
        return self._store.claim_units(
            self._scope,
            self._context.worker,
            limit=limit,
            lease_ms=self._lease_ms,
            max_attempts=self._max_attempts,
            died=died,
        )


def _asked_to_stop(store: JobStore, context: StepContext) -> bool:
    """True when the job was cancelled, or another try has it."""
    job = store.job(context.job.id)
    return job.cancel_requested or job.state is not JobState.RUNNING or job.fence != context.job.fence
