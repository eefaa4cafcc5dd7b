"""The work of one job, and what its end or its death means for its run: each kind's own domain knows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.errors import InternalError
from nbplat.job import END_STATES, Job, JobState, JobStore, Run, StepContext, Unit

if TYPE_CHECKING:
    from nbplat.backfill.run import Backfills
    from nbplat.environment.environments import Environments
    from nbplat.sequence.sequences import Sequences

__all__ = ["Steps"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """Dispatches jobs to their domains, which are opened when a job needs them.

    Attributes:
        let_go: Ends what a step started for itself alone.
        unit_attempts: Tries before a unit counts as failed.
    """

    store: JobStore
    backfills: Callable[[], Backfills]
    sequences: Callable[[], Sequences]
    environments: Callable[[], Environments]
    let_go: Callable[[], None]
    unit_attempts: int

    def run(self, context: StepContext) -> dict[str, Any]:
        """Do the work of one job."""
        kind = context.job.kind
        if kind.startswith("environment."):
            from nbplat.environment.work import run_step

            return run_step(self.environments(), context)
        if kind.startswith(("backfill.", "sequence.")):
            try:
                return self._run_on_tables(context)
            finally:
                self.let_go()
        raise InternalError("job.kind", f"no step is called {kind!r}", fix="a newer nbplat queued it: upgrade this one")

    def _run_on_tables(self, context: StepContext) -> dict[str, Any]:
        if context.job.kind.startswith("backfill."):
            from nbplat.backfill.work import run_step as run_backfill

            return run_backfill(self.backfills(), context)
        from nbplat.sequence.work import run_step as run_sequence

        return run_sequence(self.sequences(), context)

    def settle(self, job: Job) -> None:
        """Carry a run on after one of its jobs ended."""
        if job.kind.startswith("backfill.") and job.state in END_STATES:
            from nbplat.backfill.settle import left_branch, settle

            if run := left_branch(self.store, job):
                self._sweep_branch(run)
            settle(self.store, job)
        elif job.kind.startswith("sequence.") and job.state in END_STATES:
            from nbplat.sequence.settle import settle as settle_sequence

            if job.state is JobState.CANCELLED:
                self._sweep_files(job)
            settle_sequence(self.store, job)

        elif job.kind.startswith("training."):
            from nbplat.training.states import settle as settle_training

            settle_training(self.store, job)

    def bury(self, job: Job, how: str) -> list[Unit]:
        """Count the try of what a job's process had under way when it died of itself."""
        if job.kind.startswith("sequence."):
            from nbplat.sequence.deaths import bury as bury_sequence

            return bury_sequence(self.store, job, how, max_attempts=self.unit_attempts)
        if not job.kind.startswith("backfill."):
            return []
        from nbplat.backfill.deaths import bury

        return bury(self.store, job, how, max_attempts=self.unit_attempts)

    def _sweep_files(self, job: Job) -> None:
        """Take away what a cancelled job of a sequence has left; the next build does it else."""
        from nbplat.sequence.work import sweep

        try:
            sweep(self.sequences(), job)
        except Exception as exc:  # noqa: BLE001 - whatever the catalog's client raises, the run must be settled
            _log.warning("%s: its files could not be removed: %s", job.run_id, exc)

    def _sweep_branch(self, run: Run) -> None:
        """Take away the branch of a promotion that was cancelled or died; the next promotion does it else."""
        try:
            self.backfills().sweep(run)
        except Exception as exc:  # noqa: BLE001 - whatever the catalog's client raises, the run must be settled
            _log.warning("%s: its branch could not be removed: %s", run.id, exc)
