"""The life of backfill runs: plan, open or attach, step from state to state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbplat.backfill.audit import audit
from nbplat.backfill.compute import check_keys, here, probe
from nbplat.backfill.plan import BackfillPlan, build_plan
from nbplat.backfill.ports import Engine, Engines, Publisher, PythonBodies, Runner, Splicer, StagedWriter, Tables
from nbplat.backfill.promote import Promoter
from nbplat.backfill.rollback import Undoer
from nbplat.backfill.settle import queue_step
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import Stager, stage_scope, staged_files
from nbplat.backfill.states import DONE, KIND, LIVE_STATES, STEPS, RunState, Step
from nbplat.clock import Clock
from nbplat.errors import Conflict, NotFound, SetupError
from nbplat.job import Job, JobState, JobStore, Run, RunDraft, StepContext, UnitState
from nbplat.terms import Progress, SnapshotPin, StagedColumns, TableName

__all__ = ["KIND", "Backfills", "Submission"]

# Packages that only the runs of one engine name in their provenance.
_ENGINE_OF = {"pyspark": "spark", "ray": "ray"}

# Above this a plan does not read keys or run a sample: it stays a matter of metadata.
_PROBE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of asking for a run.

    Attributes:
        run: The run; None for a dry run.
        plan: Its plan. For an attached run the plan it was opened with.
        job: The job that was queued or is under way; None when there is nothing to do.
        attached: True when an equal run was there already.
        notes: What a person should know: moved snapshots, what an attach means.
    """

    run: Run | None
    plan: BackfillPlan
    job: Job | None
    attached: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backfills:
    """Everything about backfill runs of one state folder.

    Attributes:
        engine, runners: The ``local`` engine, and what runs staging on this machine by engine name.
        engines: All other engines.
        scratch: Holds one folder per run, for what lasts as long as a step.
        settings: ``threads``, ``memory_bytes`` and ``spill_folder`` of what is computed on this machine.
    """

    store: JobStore
    tables: Tables
    engine: Engine
    runners: Mapping[str, Runner]
    engines: Engines
    bodies: PythonBodies
    writer: StagedWriter
    splicer: Splicer
    publisher: Publisher
    clock: Clock
    scratch: Path
    settings: Mapping[str, Any]
    memory_bytes: int
    lease_ms: int
    unit_attempts: int
    versions: Mapping[str, str]

    # -- asking ----------------------------------------------------------------------------------
    def plan(self, spec: BackfillSpec) -> BackfillPlan:
        """Plan without any effect; reads keys and runs one sample unit where the data is small.

        Raises:
            NbplatError: everything that can be wrong with the request (see `build_plan`), doubled
                keys in the table, and a body that fails on the sample.
        """
        plan = build_plan(
            spec,
            self.tables,
            self._engine(spec.engine),
            self.bodies,
            memory_bytes=self.memory_bytes,
            conflicts=self._conflicts,
        )
        if plan.engine not in self.runners:
            self.engines.check(plan, self.writer.folder(""))
        if plan.read_bytes > _PROBE_BYTES:
            return plan
        rows = check_keys(plan, self.tables, self.settings)
        sample = here(plan, self.tables)
        if sample is None:
            return replace(plan, key_check=f"unique over {rows} rows")
        started = self.clock.monotonic_s()
        sample_rows, sample_bytes = probe(sample, self.tables, self.settings)
        elapsed = self.clock.monotonic_s() - started
        # A body over the whole window takes its time once; a row-wise one takes it per row.
        scale = plan.rows / sample_rows if sample_rows else 1.0
        return replace(
            plan,
            write_bytes=int(sample_bytes * scale),
            write_basis=f"sampled from {sample_rows} rows",
            seconds=elapsed * (len(plan.groups) if plan.row_wise else 1),
            key_check=f"unique over {rows} rows",
        )

    def submit(self, spec: BackfillSpec, *, owner: str, force_new: bool = False) -> Submission:
        """Attach to the equal live run, or plan, open a run and queue its staging."""
        live = None if force_new else self._live_run(spec)
        if live is not None:
            return self._attach(live, owner)
        plan = self.plan(spec)
        _check_room("staging", plan.write_bytes, self.writer.free_bytes(), plan.base.table)
        draft = RunDraft(
            kind=KIND,
            name=spec.name,
            identity=spec.identity,
            state=RunState.PLANNED,
            live_states=frozenset(str(state) for state in LIVE_STATES),
            spec=spec.record(),
            plan=plan.record(),
            owner=owner,
        )
        run, opened = self.store.open_run(draft, force_new=force_new)
        if not opened:
            # The same cell elsewhere was faster while this one planned.
            return self._attach(run, owner)
        return Submission(run, plan, queue_step(self.store, run, Step.STAGE, owner), attached=False)

    def step(self, run_id: str, step: Step, *, owner: str) -> Submission:
        """Queue an audit, a promotion or a roll back of a run.

        Raises:
            Conflict: the run is in a state from which this step cannot start.
        """
        run = self.find(run_id)
        plan = BackfillPlan.from_record(run.plan)
        allowed, doing = STEPS[step]
        if run.state == DONE[step] and step in (Step.PROMOTE, Step.ROLLBACK):
            return Submission(run, plan, None, attached=True, notes=(f"{run.id} is {run.state} already",))
        if run.state == doing:
            return Submission(run, plan, self._live_job(run), attached=True)
        if run.state not in allowed:
            names = " or ".join(sorted(state.replace("_", " ") for state in allowed))
            raise Conflict(
                "backfill.state",
                f"{run.id} is {run.state.replace('_', ' ')}; {step.split('.')[1]} starts from {names}",
                fix=_next_verb(RunState(run.state), run.id),
            )
        if step is Step.PROMOTE:
            # Cheap, and before any effect: a column that exists by now refuses the promotion here.
            self.publisher.field_ids(plan.base, run.id, plan.columns)
            room = self.splicer.free_bytes(plan.units[0].path)
            _check_room("promotion", plan.copy_bytes + plan.write_bytes, room, plan.base.table)
        if step is Step.ROLLBACK:
            self.store.move_run(KIND, run.id, run.state, frm=[run.state], outputs={"rollback_from": run.state})
        return Submission(run, plan, queue_step(self.store, run, step, owner), attached=False)

    def cancel(self, run_id: str) -> Run:
        """End the run's live job; the run returns to its last completed state."""
        run = self.find(run_id)
        self.store.request_cancel(self._live(run, "cancel").id)
        return run

    def pause(self, run_id: str) -> Run:
        """Pause the run's live job: it stops between two files, keeps what is finished, and waits, also over restarts.

        Raises:
            Conflict: it has no live job.
        """
        run = self.find(run_id)
        self.store.request_pause(self._live(run, "pause").id)
        return run

    def resume(self, run_id: str) -> Submission:
        """Let a paused job go on.

        Raises:
            Conflict: the run has no live job.
        """
        run = self.find(run_id)
        job = self.store.resume_job(self._live(run, "resume").id)
        return Submission(run, BackfillPlan.from_record(run.plan), job, attached=True)

    def retry(self, run_id: str, *, owner: str) -> Submission:
        """Stage again what failed; finished files stay."""
        run = self.find(run_id)
        if run.state != RunState.PLANNED:
            raise Conflict(
                "backfill.state",
                f"{run.id} is {run.state.replace('_', ' ')}; nothing of it failed",
                fix=f"see `%backfill status {run.id}`",
            )
        return Submission(run, BackfillPlan.from_record(run.plan), self._stage_again(run, owner), attached=True)

    def find(self, run_id: str) -> Run:
        """A run by ``name@number``, or the newest of a name.

        Raises:
            NotFound: when there is none.
        """
        if "@" in run_id:
            return self.store.run(KIND, run_id)
        runs = self.store.runs(KIND, name=run_id, limit=1)
        if not runs:
            known = sorted({run.name for run in self.store.runs(KIND)})
            raise NotFound(
                "run.unknown",
                f"there is no backfill {run_id!r}",
                fix=f"known: {', '.join(known)}" if known else "start one with %%backfill",
            )
        return runs[0]

    def staged_columns(self, run_id: str) -> StagedColumns:
        """What a staged run offers to readers.

        Raises:
            Conflict: when the run is not staged (yet, or any more).
        """
        run = self.find(run_id)
        plan = BackfillPlan.from_record(run.plan)
        unusable = {RunState.PLANNED, RunState.STAGING, RunState.ROLLED_BACK, RunState.EXPIRED}
        if run.state in unusable:
            raise Conflict(
                "backfill.not_staged",
                f"{run.id} is {run.state.replace('_', ' ')}",
                fix=f"wait for it (%backfill attach {run.id}), or run the cell again",
            )
        return StagedColumns(
            run_id=run.id,
            base=plan.base,
            columns=tuple((column.name, column.type) for column in plan.columns),
            files=staged_files(self.store, run.id),
            promoted=run.state == RunState.PROMOTED,
        )

    # -- working ---------------------------------------------------------------------------------
    def run_step(self, context: StepContext) -> dict[str, Any]:
        """Do one job of a run; safe to repeat after a kill at any point."""
        step = Step(context.job.kind)
        run = self.store.run(KIND, context.job.run_id)
        plan = BackfillPlan.from_record(run.plan)
        allowed, doing = STEPS[step]
        if run.state == DONE[step]:
            # An earlier try of this job did it all and was killed before it could say so.
            return dict(run.outputs["audit"] if step is Step.AUDIT else run.outputs)
        self.store.move_run(KIND, run.id, doing, frm=[*allowed, doing])
        match step:
            case Step.STAGE:
                return self._stage(run, plan, context)
            case Step.AUDIT:
                return self._audit(run, plan, context)
            case Step.PROMOTE:
                return self._promote(run, plan, context)
            case Step.ROLLBACK:
                return self._roll_back(run, plan, context)

    def _stage(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        scratch = self.scratch / run.id.replace("@", "-")
        with self._runner(plan, scratch, context) as runner:
            stager = Stager(
                plan,
                run.id,
                self.tables,
                runner,
                self.publisher,
                self.store,
                self.writer.folder(run.id),
                scratch,
                self.settings,
                self.lease_ms,
                self.unit_attempts,
            )
            outputs = stager.run(context, self._provenance(run, plan, Step.STAGE))
        self.store.move_run(KIND, run.id, RunState.STAGED, frm=[RunState.STAGING], outputs=outputs)
        return outputs

    def _engine(self, name: str) -> Engine:
        return self.engine if name in self.runners else self.engines.engine(name)

    def _runner(self, plan: BackfillPlan, scratch: Path, context: StepContext) -> AbstractContextManager[Runner]:
        if plan.engine in self.runners:
            return nullcontext(self.runners[plan.engine])
        return self.engines.runner(plan, scratch, context.report.log)

    def _audit(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        def show(done: int, total: int) -> None:
            context.report.progress(Progress(done, total, "rules"))
            context.report.checkpoint()

        report = audit(
            plan,
            staged_files(self.store, run.id),
            self.tables,
            self._engine(plan.engine),
            self.writer,
            self.settings,
            show=show,
        )
        for finding in report.findings:
            verdict = "ok" if finding.passed else "BLOCKS" if finding.blocks else "warns"
            context.report.log(f"{verdict:6} {finding.rule} {finding.column} {finding.message}")
        state = RunState.AUDITED if report.passed else RunState.REJECTED
        self.store.move_run(KIND, run.id, state, frm=[RunState.AUDITING], outputs={"audit": report.record()})
        return report.record()

    def _promote(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        promoter = Promoter(
            plan,
            run.id,
            self.tables,
            self.splicer,
            self.publisher,
            self.store,
            self.lease_ms,
            self.unit_attempts,
            self._schemas_in_use(plan.base),
        )
        outputs = promoter.run(context, self._provenance(run, plan, Step.PROMOTE))
        self.store.move_run(KIND, run.id, RunState.PROMOTED, frm=[RunState.PROMOTING], outputs=outputs)
        return outputs

    def _roll_back(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        outputs = Undoer(plan, run.id, self.publisher, self.store, self.lease_ms).run(context, run.outputs)
        self.store.move_run(KIND, run.id, RunState.ROLLED_BACK, frm=[RunState.ROLLING_BACK], outputs=outputs)
        return outputs

    # -- looking ---------------------------------------------------------------------------------
    def progress(self, run: Run) -> dict[str, int]:
        """Counts of the run's staging units by state."""
        counts = {str(state): 0 for state in UnitState}
        for unit in self.store.units(stage_scope(run.id)):
            counts[unit.state] += 1
        return counts

    def _attach(self, run: Run, owner: str) -> Submission:
        plan = BackfillPlan.from_record(run.plan)
        notes = (f"attached to {run.id}, which is {run.state.replace('_', ' ')}", *self._moved(run, plan))
        job = self._live_job(run)
        if job is None and run.state == RunState.PLANNED:
            try:
                job = self._stage_again(run, owner)
            except Conflict:
                # It was staged meanwhile, and its next job is under way.
                job = self._live_job(run)
        return Submission(run, plan, job, attached=True, notes=notes)

    def _live_run(self, spec: BackfillSpec) -> Run | None:
        for run in self.store.runs(KIND, name=spec.name):
            if run.identity == spec.identity and run.state in LIVE_STATES:
                return run
        return None

    def _live(self, run: Run, verb: str) -> Job:
        job = self._live_job(run)
        if job is None:
            raise Conflict("backfill.idle", f"{run.id} has no job to {verb}", fix=f"see `%backfill status {run.id}`")
        return job

    def _live_job(self, run: Run) -> Job | None:
        live = {JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}
        jobs = self.store.jobs(run_id=run.id, states=live, limit=1)
        return jobs[0] if jobs else None

    def _stage_again(self, run: Run, owner: str) -> Job:
        if self._live_job(run) is None:
            self.store.reset_failed_units(stage_scope(run.id))
        return queue_step(self.store, run, Step.STAGE, owner)

    def _moved(self, run: Run, plan: BackfillPlan) -> tuple[str, ...]:
        """Which pinned tables have a newer snapshot; shown on attach, never silently taken."""
        notes = []
        # A promoted run has moved its table itself.
        pins = [source.pin for source in plan.sources]
        for pin in pins if run.state == RunState.PROMOTED else [plan.base, *pins]:
            now = self.tables.describe(TableName.parse(pin.table)).pin
            if now.snapshot_id != pin.snapshot_id:
                notes.append(f"{pin.table} has moved on since: --new plans on its present snapshot")
        return tuple(notes)

    def _conflicts(self, table: TableName, columns: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for run in self.store.runs(KIND):
            if run.state not in LIVE_STATES or run.plan["base"]["table"] != str(table):
                continue
            shared = {column["name"] for column in run.plan["columns"]} & set(columns)
            if shared:
                found.append(f"{run.id} ({run.state}) makes {', '.join(sorted(shared))} too: only one can be promoted")
        return tuple(found)

    def _schemas_in_use(self, base: SnapshotPin) -> frozenset[int]:
        pins = [
            pin
            for run in self.store.runs(KIND)
            if run.state in LIVE_STATES
            for pin in (run.plan["base"], *(source["pin"] for source in run.plan["sources"]))
        ]
        return frozenset(pin["schema_id"] for pin in pins if pin["table_uuid"] == base.table_uuid)

    def _provenance(self, run: Run, plan: BackfillPlan, step: Step) -> dict[str, str]:
        """Goes into snapshot summaries, so that the ledger can be rebuilt from the tables."""
        return {
            "nbplat.run": run.id,
            "nbplat.step": step.split(".")[1],
            "nbplat.identity": run.identity,
            "nbplat.plan": plan.plan_hash,
            "nbplat.engine": plan.engine,
            "nbplat.base-snapshot-id": str(plan.base.snapshot_id),
            **{f"nbplat.source.{source.pin.table}": str(source.pin.snapshot_id) for source in plan.sources},
            **{
                f"nbplat.version.{name}": version
                for name, version in self.versions.items()
                if _ENGINE_OF.get(name, plan.engine) == plan.engine
            },
        }


def _check_room(what: str, needed_bytes: int, free_bytes: int | None, table: str) -> None:
    """Refuse before any effect what the disk cannot hold; an estimate, so a full disk is handled later as well."""
    if free_bytes is not None and free_bytes < needed_bytes:
        raise SetupError(
            "disk.full",
            f"{what} of {table} writes about {needed_bytes:,} bytes and the disk has {free_bytes:,} free",
            fix="make room on that disk, then run it again",
        )


def _next_verb(state: RunState, run_id: str) -> str:
    match state:
        case RunState.PLANNED | RunState.STAGING | RunState.AUDITING | RunState.STAGED:
            return f"wait for it: `%backfill attach {run_id}`"
        case RunState.REJECTED:
            return f"read why: `%backfill show {run_id}`; mend the body and run the cell again"
        case RunState.AWAITING_PROMOTION:
            return f"`%backfill promote {run_id}`"
        case _:
            return f"see `%backfill status {run_id}`; run the cell again for a new run"
