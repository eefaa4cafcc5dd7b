"""What a step of a job gets from the process that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nbplat.job.record import Job
from nbplat.terms import Progress

__all__ = ["JobPaused", "StepContext", "StepReport"]


class JobPaused(Exception):
    """A person asked to pause: the try ends here, what is finished stands in the ledger."""


class StepReport(Protocol):
    """Where a running step tells how it goes. All raise Conflict when the job's lease was lost."""

    def progress(self, progress: Progress) -> None:
        """Show how far it is."""

    def log(self, text: str) -> None:
        """Write one line to the job's log."""

    def checkpoint(self) -> None:
        """Stand between two pieces of work, with nothing half done.

        Raises:
            JobPaused: a person asked to pause; let it through.
        """


@dataclass(frozen=True, slots=True)
class StepContext:
    """One try of one job.

    Attributes:
        job: As claimed, with the fence of this try.
        worker: Name to lease units under; unique to this try.
        report: Progress and log.
    """

    job: Job
    worker: str
    report: StepReport
