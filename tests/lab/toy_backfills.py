from __future__ import annotations

from contextlib import closing

import nbformat

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


def saved_output(job_id: str, run_id: str) -> nbformat.NotebookNode:
    """A cell whose saved output is of a job that waited then."""
    snapshot = {
        "id": job_id,
        "run_id": run_id,
        "kind": "backfill.wait",
        "state": "queued",
        "progress": {"done": 0, "total": 0, "unit": "units"},
    }
    data = {"application/vnd.nbplat.job.v1+json": snapshot, "text/plain": run_id}
    return nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data=data)])
