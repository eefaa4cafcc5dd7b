"""The record that every long thing shares: runs, jobs, units, leases, events."""

from nbplat.job.asked_from import NOTEBOOK_VARIABLE, asked_from, asking_from
from nbplat.job.ports import JobStore
from nbplat.job.record import CALLER, Event, Job, JobDraft, Lease, Run, RunDraft, Unit, UnitState
from nbplat.job.states import END_STATES, JobState, check_move
from nbplat.job.step import JobPaused, StepContext, StepReport

__all__ = [
    "CALLER",
    "END_STATES",
    "NOTEBOOK_VARIABLE",
    "Event",
    "Job",
    "JobDraft",
    "JobPaused",
    "JobState",
    "JobStore",
    "Lease",
    "Run",
    "RunDraft",
    "StepContext",
    "StepReport",
    "Unit",
    "UnitState",
    "asked_from",
    "asking_from",
    "check_move",
]
