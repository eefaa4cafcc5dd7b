"""Ledger records as JSON, the same shape in every route."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nbplat.job import END_STATES, Event, Job, Run

__all__ = ["event_record", "job_record", "run_record"]


def run_record(run: Run) -> dict[str, Any]:
    return asdict(run)


def job_record(job: Job) -> dict[str, Any]:
    """All fields; ``ended`` says whether it will change any more."""
    return {**asdict(job), "state": job.state.value, "ended": job.state in END_STATES}


def event_record(event: Event) -> dict[str, Any]:
    return asdict(event)
