"""Working: which part of a sequence's work each job is, and what is left of it when it ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.errors import InternalError
from nbplat.job import Job, StepContext
from nbplat.sequence.amendments import AMENDS, Amendments
from nbplat.sequence.builds import Builds
from nbplat.sequence.exports import Exports
from nbplat.sequence.states import KIND, SequenceStep

if TYPE_CHECKING:
    from nbplat.sequence.sequences import Sequences

__all__ = ["run_step", "sweep"]


def run_step(sequences: Sequences, context: StepContext) -> dict[str, Any]:
    """Do one job of a sequence; safe to repeat after a kill at any point."""
    run = sequences.store.run(KIND, context.job.run_id)
    if AMENDS in context.job.params:
        return Amendments(sequences).do(run, context)
    match context.job.kind:
        case SequenceStep.BUILD:
            return Builds(sequences).do(run, context)
        case SequenceStep.EXPORT:
            return Exports(sequences).do(run, context)
        case step:
            raise InternalError("job.kind", f"this nbplat does not know the job {step!r}", fix="upgrade nbplat")


def sweep(sequences: Sequences, job: Job) -> None:
    """Remove the spill files of a job that ended or was cancelled, and its data files that were not published.

    Also what was written for a vocabulary a day before the job and never committed. Whoever reads an index learns
    vocabularies, with a job or without, so these files bear no job's name.
    """
    if AMENDS in job.params:
        Amendments(sequences).sweep(job)
    elif job.kind == SequenceStep.EXPORT:
        Exports(sequences).sweep(job)
    elif job.kind == SequenceStep.BUILD:
        Builds(sequences).sweep(job)
