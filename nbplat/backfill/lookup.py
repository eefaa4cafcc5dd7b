"""What the ledger says of runs: which one is meant, how far it is, what it offers, what others make."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.plan import BackfillPlan, Others
from nbplat.backfill.ports import Tables
from nbplat.backfill.reach import Reach
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import stage_scope, staged_files
from nbplat.backfill.states import ALL_RUNS, KIND, LIVE_STATES, RunState
from nbplat.errors import Conflict, NotFound, did_you_mean
from nbplat.job import Job, JobState, JobStore, Run, UnitState
from nbplat.terms import StagedColumns, TableName, root_of

__all__ = [
    "failed_units",
    "find_run",
    "live_job",
    "live_run",
    "moved_since",
    "next_verb",
    "others_of",
    "progress_of",
    "staged_columns",
]


def find_run(store: JobStore, run_id: str) -> Run:
    """See `nbplat.backfill.run.Backfills.find`."""
    if "@" in run_id:
        return store.run(KIND, run_id)
    runs = store.runs(KIND, name=run_id, limit=1)
    if not runs:
        known = sorted({run.name for run in store.runs(KIND)})
        raise NotFound(
            "run.unknown",
            f"there is no backfill {run_id!r}",
            fix=did_you_mean(run_id, known) or "start one with %%backfill",
        )
    return runs[0]


def live_run(store: JobStore, spec: BackfillSpec) -> Run | None:
    """The live run of an equal request; None when there is none."""
    for run in store.runs(KIND, name=spec.name):
        if run.identity == spec.identity and run.state in LIVE_STATES:
            return run
    return None


def live_job(store: JobStore, run: Run) -> Job | None:
    """The job of a run that is queued, runs or is paused."""
    live = {JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}
    jobs = store.jobs(run_id=run.id, states=live, limit=1)
    return jobs[0] if jobs else None


def progress_of(store: JobStore, run: Run) -> dict[str, int]:
    """Counts of a run's staging units by state."""
    counts = {str(state): 0 for state in UnitState}
    for unit in store.units(stage_scope(run.id)):
        counts[unit.state] += 1
    return counts


def failed_units(store: JobStore, run: Run) -> list[dict[str, Any]]:
    """See `nbplat.backfill.run.Backfills.failed_units`."""
    plan = BackfillPlan.from_record(run.plan)
    units = {unit.id: unit for unit in plan.units}
    return [
        {
            "unit": each.id,
            "partition": units[each.id].partition,
            "path": units[each.id].path,
            "attempts": each.attempts,
            "error": dict(each.error or {}),
        }
        for each in store.units(stage_scope(run.id))
        if each.state is UnitState.FAILED and each.id in units
    ]


def staged_columns(store: JobStore, reach: Reach, run: Run) -> StagedColumns:
    """See `nbplat.backfill.run.Backfills.staged_columns`."""
    plan = BackfillPlan.from_record(run.plan)
    unusable = {RunState.PLANNED, RunState.STAGING, RunState.ROLLED_BACK, RunState.EXPIRED}
    if run.state in unusable or run.outputs.get("expired"):
        raise Conflict(
            "backfill.not_staged",
            f"{run.id} is {run.state.replace('_', ' ')}"
            + (", and its staged files have expired" if run.outputs.get("expired") else ""),
            fix=f"wait for it (%backfill attach {run.id}), or run the cell again",
        )
    return StagedColumns(
        run_id=run.id,
        base=plan.base,
        columns=tuple((column.name, column.type) for column in plan.columns),
        files=staged_files(store, run.id),
        promoted=run.state == RunState.PROMOTED,
        keys=plan.keys,
        table=str(run.outputs.get("staging_table") or ""),
        landed=tuple(sorted({root_of(path) for path in reach.landed(run)})),
    )


def moved_since(tables: Tables, run: Run, plan: BackfillPlan) -> tuple[str, ...]:
    """Which pinned tables have a newer snapshot; shown on attach, never silently taken."""
    notes = []
    # A promoted run has moved its table itself.
    pins = [source.pin for source in plan.sources]
    for pin in pins if run.state == RunState.PROMOTED else [plan.base, *pins]:
        now = tables.describe(TableName.parse(pin.table)).pin
        if now.snapshot_id != pin.snapshot_id:
            notes.append(f"{pin.table} has moved on since: --new plans on its present snapshot")
    return tuple(notes)


def others_of(store: JobStore, reach: Reach, spec: BackfillSpec, columns: tuple[str, ...]) -> Others:
    """What a plan says of the other live runs of its table."""
    conflicts, overlaps = [], []
    chain = {run.id for run in reach.chain(spec.extends)} if spec.extends else set()
    for run in store.runs(KIND, limit=ALL_RUNS):
        if run.state not in LIVE_STATES or run.plan["base"]["table"] != str(spec.table) or run.id in chain:
            continue
        state = run.state.replace("_", " ")
        made = {column["name"] for column in run.plan["columns"]}
        shared = made & set(columns)
        if run.state == RunState.PROMOTED:
            # A promoted column can be computed again under its id.
            shared -= set(spec.replace)
        if shared:
            named = ", ".join(sorted(shared))
            conflicts.append(f"{run.id} ({state}) makes {named} too: only one can be promoted")
        elif run.state != RunState.PROMOTED:
            overlaps.append(
                f"{run.id} ({state}) lands on files of this table too: `%backfill promote {run.id} {spec.name}`"
                " does both in one pass"
            )
    return Others(tuple(conflicts), tuple(overlaps))


def next_verb(state: RunState, run_id: str) -> str:
    """What may be done with a run in a state, as the command."""
    match state:
        case RunState.PLANNED | RunState.STAGING | RunState.AUDITING | RunState.STAGED:
            return f"wait for it: `%backfill attach {run_id}`"
        case RunState.REJECTED:
            return f"read why: `%backfill show {run_id}`; mend the body and run the cell again"
        case RunState.AWAITING_PROMOTION:
            return f"`%backfill promote {run_id}`"
        case _:
            return f"see `%backfill status {run_id}`; run the cell again for a new run"
