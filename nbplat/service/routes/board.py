"""The board: every run with its last job in one light reply, for a list that is looked at all day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from nbplat.job import END_STATES, Job, Run
from nbplat.service.platform import Platform

__all__ = ["board_job", "router"]


def router(platform: Platform) -> APIRouter:
    """The route ``/api/v1/board``."""
    routes = APIRouter(prefix="/api/v1", tags=["ledger"])
    store = platform.store

    @routes.get("/board")
    def board(limit: Annotated[int, Query(ge=1, le=1000)] = 500) -> dict[str, Any]:
        """The newest runs of every kind, each with its last job, without specs, plans and outputs.

        ``seq`` is the number of the newest event before they were read: whoever asks for the events after it
        misses nothing.
        """
        seq = store.last_event()
        runs = store.runs(limit=limit, plans=False)
        last = _last_jobs(store.jobs(limit=limit))
        return {
            "seq": seq,
            "now_ms": platform.clock.now_ms(),
            "runs": [_line(run, last.get((run.kind, run.id))) for run in runs],
        }

    return routes


def board_job(job: Job) -> dict[str, Any]:
    """What a row shows of a job."""
    return {
        "id": job.id,
        "kind": job.kind,
        "run_id": job.run_id,
        "state": job.state.value,
        "ended": job.state in END_STATES,
        "cancelling": job.cancel_requested and job.state not in END_STATES,
        "progress": job.progress.record(),
        "owner": job.owner,
        "error": _said(job.error),
        "created_ms": job.created_ms,
        "started_ms": job.started_ms,
        "ended_ms": job.ended_ms,
    }


def _last_jobs(newest_first: Iterable[Job]) -> dict[tuple[str, str], Job]:
    # An id is unique per kind of run only; the kind of a job begins with it.
    last: dict[tuple[str, str], Job] = {}
    for job in newest_first:
        last.setdefault((job.kind.partition(".")[0], job.run_id), job)
    return last


def _line(run: Run, job: Job | None) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "state": run.state,
        "owner": run.owner,
        "table": _table_of(run),
        "error": _said(run.error or _rejection(run)),
        "created_ms": run.created_ms,
        "updated_ms": run.updated_ms,
        "found": _found(run),
        "notebook": run.notebook,
        "job": None if job is None else board_job(job),
    }


def _found(run: Run) -> str:
    """What a training run found, in a few words; empty for others, and before it has."""
    told = run.outputs
    if not (without := told.get("auc_without")):
        return ""
    if not (both := told.get("auc_with")):
        return f"AUC {without['value']:.3f}"
    gain = told["gain"]
    sure = ", no gain is shown" if gain["low"] <= 0 <= gain["high"] else ""
    return f"AUC {without['value']:.3f} to {both['value']:.3f}{sure}"


def _table_of(run: Run) -> str:
    """The table that a run is about: of a training its examples, of a sequence its events; empty: none."""
    match run.kind:
        case "training":
            found = run.spec.get("join", {}).get("base")
        case "sequence":
            found = run.spec.get("record", {}).get("source")
        case _:
            found = run.spec.get("table")
    return found if isinstance(found, str) else ""


def _rejection(run: Run) -> Mapping[str, Any] | None:
    """What the audit of a rejected backfill blocks; nothing has failed there, and still it is what went wrong."""
    if run.kind != "backfill" or run.state != "rejected" or "audit" not in run.outputs:
        return None
    from nbplat.backfill.explain import explain_rejection

    message, fix = explain_rejection(run.outputs["audit"]["findings"])
    return {"code": "audit.rejected", "message": message, "fix": fix}


def _said(error: Any) -> dict[str, Any] | None:
    """An error in the words a person reads; None when there is none."""
    return None if error is None else {key: error.get(key, "") for key in ("code", "message", "fix")}
