"""Backfill runs over HTTP; thin over `nbplat.backfill.run.Backfills`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from nbplat.service import backfill_verbs
from nbplat.service.asker import owner_said
from nbplat.service.records import submission_record
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
    project: str = ""


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
    max_cost: float | None = None


class StepRequest(BaseModel):
    """Ask for a step of a run.

    Attributes:
        runs: Further runs that are promoted in the same pass.
    """

    model_config = ConfigDict(extra="forbid")

    owner: str = ""
    runs: list[str] = []
    params: dict[str, Any] = {}


class ExpireRequest(BaseModel):
    """Ask for a sweep; `runs` are taken at once, without any every run that has rested for `older_than_s`."""

    model_config = ConfigDict(extra="forbid")

    runs: list[str] = []
    older_than_s: float = Field(604_800.0, ge=0)
    dry_run: bool = False


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
        return woken(
            platform.backfills.submit(
                spec, owner=owner_said(request.owner), force_new=request.new, max_cost=request.max_cost
            )
        )

    @routes.post("/expire")
    def expire(request: ExpireRequest) -> dict[str, Any]:
        """Sweep what no run needs and no snapshot uses; with ``dry_run`` only tell it."""
        age_ms = int(request.older_than_s * 1000)
        return platform.expirer.expire(request.runs, older_than_ms=age_ms, dry_run=request.dry_run).record()

    @routes.get("/{run_id}/diff")
    def diff(
        run_id: str, other: str | None = None, column: Annotated[list[str] | None, Query()] = None
    ) -> dict[str, Any]:
        """Compare the run with another, or with the live columns."""
        return platform.backfills.diff(run_id, other, column or ()).record()

    @routes.get("/{run_id}")
    def show(run_id: str) -> dict[str, Any]:
        """A run with the counts of its units, those that failed, and its jobs."""
        return backfill_verbs.seen(platform.backfills, platform.store, run_id)

    @routes.get("/{run_id}/coverage")
    def coverage(run_id: str) -> dict[str, Any]:
        """How far a promoted run's columns reach into the table now; empty when it is not promoted."""
        return backfill_verbs.covered(platform.backfills, run_id)

    @routes.get("/{run_id}/partitions")
    def partitions(run_id: str) -> dict[str, Any]:
        """How far each partition is staged, in the plan's order."""
        return {"partitions": backfill_verbs.partitions(platform.backfills, platform.store, run_id)}

    @routes.get("/{run_id}/staged")
    def staged(run_id: str) -> dict[str, Any]:
        """What the run offers to readers before it is promoted."""
        return asdict(platform.backfills.staged_columns(run_id))

    def verb_route(verb: str) -> Callable[[str, StepRequest | None], dict[str, Any]]:
        def carry_out(run_id: str, request: StepRequest | None = None) -> dict[str, Any]:
            asked = request or StepRequest()
            done = backfill_verbs.carry_out(
                platform.backfills, verb, [run_id, *asked.runs], owner=owner_said(asked.owner), params=asked.params
            )
            if done["job"] is not None:
                notify_worker(platform.config)
            return done

        carry_out.__doc__ = f"{verb.capitalize()} the run."
        return carry_out

    for verb in backfill_verbs.VERBS:
        routes.add_api_route(f"/{{run_id}}/{verb}", verb_route(verb), methods=["POST"], name=verb)
    return routes
