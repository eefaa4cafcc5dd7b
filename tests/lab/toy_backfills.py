from __future__ import annotations

from contextlib import closing

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.job import JobDraft, RunDraft


def backfill(config: Config, name: str, kind: str, **params: object) -> str:
    """A run that the panel takes for a backfill's, with a job of the toy platform; returns the job's id."""
    draft = RunDraft(
        "backfill", name, name, "staging", frozenset({"staging"}), {"table": "retail.train"}, {"units": []}, "ann"
    )
    with closing(open_store(config, clock=SystemClock())) as store:
        run, _ = store.open_run(draft)
        job, _ = store.submit(JobDraft(kind, run.id, params), kind_of_run="backfill", owner="ann")
    return job.id
