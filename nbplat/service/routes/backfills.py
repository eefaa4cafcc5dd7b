"""Backfill runs over HTTP; thin over `nbplat.backfill.run.Backfills`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from nbplat.service.records import job_record, run_record, submission_record
from nbplat.service.wake import notify_worker

if TYPE_CHECKING:
    from nbplat.backfill.run import Submission
    from nbplat.service.platform import Platform

__all__ = ["router"]


class PythonModule(BaseModel):
    """A module or wheel that a Python body imports."""

    model_config = ConfigDict(extra="ignore")

    name: str
    data: str


class PythonSource(BaseModel):
    """A Python body; see `nbplat.backfill.python_body.PythonBody`."""

    model_config = ConfigDict(extra="forbid")

    source: str
    shipped: dict[str, str] = {}
    modules: list[PythonModule] = []
    params: dict[str, Any] = {}
    read: list[str] = []
    group_by: list[str] = []
    interpreter: str = ""
    env: str = ""


class SpecBody(BaseModel):
    """A backfill as declared; see `nbplat.backfill.spec.BackfillSpec`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    table: str
    sql: str = ""
    python: PythonSource | None = None
    keys: list[str] = []
    start: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")
    time: str | None = None
    engine: str = "local"
    promote: bool = False
    as_of: str | None = None
    source_times: dict[str, str] = {}
    replace: list[str] = []
    types: dict[str, str] = {}
    checks: dict[str, str] = {}
    frames: dict[str, str] = {}
    extends: str | None = None


class RunRequest(BaseModel):
    """Ask for a run."""

    model_config = ConfigDict(extra="forbid")

    spec: SpecBody
    owner: str = ""
    new: bool = False


class StepRequest(BaseModel):
    """Ask for a step of a run."""

    model_config = ConfigDict(extra="forbid")

    owner: str = ""


def router(platform: Platform) -> APIRouter:
    """The routes under ``/api/v1/backfills``."""
    routes = APIRouter(prefix="/api/v1/backfills", tags=["backfills"])

    def spec_of(body: SpecBody) -> Any:
        return platform.backfill_spec(body.model_dump(by_alias=True))

    def woken(submission: Submission) -> dict[str, Any]:
        if submission.job is not None:
            notify_worker(platform.config)
        return submission_record(submission)

    @routes.post("/plan")
    def plan(request: RunRequest) -> dict[str, Any]:
        """Plan a run; nothing is stored and nothing is written."""
        return {"plan": platform.backfills.plan(spec_of(request.spec)).record()}

    @routes.post("")
    def submit(request: RunRequest) -> dict[str, Any]:
        """Attach to the equal live run, or open a new one and queue its staging."""
        spec = spec_of(request.spec)
        return woken(platform.backfills.submit(spec, owner=request.owner, force_new=request.new))

    @routes.get("/{run_id}")
    def show(run_id: str) -> dict[str, Any]:
        """A run with the counts of its units and its jobs."""
        backfills = platform.backfills
        run = backfills.find(run_id)
        return {
            "run": run_record(run),
            "units": backfills.progress(run),
            "jobs": [job_record(job) for job in platform.store.jobs(run_id=run.id)],
        }

    @routes.get("/{run_id}/staged")
    def staged(run_id: str) -> dict[str, Any]:
        """What the run offers to readers before it is promoted."""
        return asdict(platform.backfills.staged_columns(run_id))

    @routes.post("/{run_id}/cancel")
    def cancel(run_id: str) -> dict[str, Any]:
        """End the run's live job."""
        run = platform.backfills.cancel(run_id)
        notify_worker(platform.config)
        return {"run": run_record(run)}

    @routes.post("/{run_id}/retry")
    def retry(run_id: str, request: StepRequest) -> dict[str, Any]:
        """Stage the failed files again."""
        return woken(platform.backfills.retry(run_id, owner=request.owner))

    def step_route(verb: str) -> Callable[[str, StepRequest], dict[str, Any]]:
        def step(run_id: str, request: StepRequest) -> dict[str, Any]:
            from nbplat.backfill.states import Step

            return woken(platform.backfills.step(run_id, Step(f"backfill.{verb}"), owner=request.owner))

        step.__doc__ = f"Queue the run's {verb}."
        return step

    for verb in ("audit", "promote", "rollback"):
        routes.add_api_route(f"/{{run_id}}/{verb}", step_route(verb), methods=["POST"], name=verb)
    return routes
