"""What a step of a job gets from the process that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nbplat.job.record import Job
from nbplat.terms import Progress

__all__ = ["StepContext", "StepReport"]


class StepReport(Protocol):
    """Where a running step tells how it goes. Both raise Conflict when the job's lease was lost."""

    def progress(self, progress: Progress) -> None:
        """Show how far it is."""

    def log(self, text: str) -> None:
        """Write one line to the job's log."""


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
