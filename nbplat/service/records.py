"""Ledger records as JSON, the same shape in every route."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nbplat.job import END_STATES, Event, Job, Run

if TYPE_CHECKING:
    from nbplat.backfill.run import Submission

__all__ = ["event_record", "job_record", "run_record", "submission_record"]


def run_record(run: Run) -> dict[str, Any]:
    """All fields, without the bytes of the modules a Python body is shipped with: their hashes stay."""
    record = asdict(run)
    for part in ("spec", "plan"):
        if (python := record[part].get("python")) is not None:
            modules = [{key: value for key, value in module.items() if key != "data"} for module in python["modules"]]
            record[part]["python"] = {**python, "modules": modules}
    return record


def job_record(job: Job) -> dict[str, Any]:
    """All fields; ``ended`` says whether it will change any more."""
    return {**asdict(job), "state": job.state.value, "ended": job.state in END_STATES}


def event_record(event: Event) -> dict[str, Any]:
    return asdict(event)


def submission_record(submission: Submission) -> dict[str, Any]:
    """What came of a request, as JSON."""
    return {
        "run": run_record(submission.run) if submission.run else None,
        "plan": submission.plan.record(),
        "job": job_record(submission.job) if submission.job else None,
        "attached": submission.attached,
        "notes": list(submission.notes),
    }
