"""The life of backfill runs: plan, open or attach, step from state to state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbplat.backfill.audit import (
    RULES,
    Checks,
    read_checks,
)
from nbplat.backfill.compute import check_keys, here, probe
from nbplat.backfill.cost import Prices, check_cost
from nbplat.backfill.diff import DiffReport
from nbplat.backfill.diff_runs import diff_live, diff_runs
from nbplat.backfill.explain import check_words
from nbplat.backfill.extend import Coverage, coverage_of, extension_spec
from nbplat.backfill.lookup import (
    failed_units,
    find_run,
    live_job,
    live_run,
    moved_since,
    next_verb,
    others_of,
    progress_of,
    staged_columns,
)
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.planning import build_plan
from nbplat.backfill.ports import (
    AuditLog,
    Engine,
    Engines,
    Publisher,
    PythonBodies,
    Runner,
    Splicer,
    StagedWriter,
    Tables,
)
from nbplat.backfill.promote import schema_change
from nbplat.backfill.python_body import PythonBody
from nbplat.backfill.reach import Reach
from nbplat.backfill.settle import queue_step
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import stage_scope
from nbplat.backfill.states import DONE, KIND, LIVE_STATES, STEPS, RunState, Step
from nbplat.backfill.train import refuse_train
from nbplat.clock import Clock
from nbplat.errors import Conflict, SetupError
from nbplat.job import Job, JobStore, Run, RunDraft
from nbplat.terms import StagedColumns

__all__ = ["KIND", "Backfills", "Submission"]

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
        audit_checks: Levels and thresholds of the configuration; a run's own win.
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
    audit_log: AuditLog
    clock: Clock
    scratch: Path
    settings: Mapping[str, Any]
    memory_bytes: int
    lease_ms: int
    unit_attempts: int
    versions: Mapping[str, str]
    wait_ms: int = 600_000
    prices: Prices = Prices()
    audit_checks: Mapping[str, str] = field(default_factory=dict)

    # -- asking ----------------------------------------------------------------------------------
    def plan(self, spec: BackfillSpec) -> BackfillPlan:
        """Plan without any effect; reads keys and runs one sample unit where the data is small.

        Raises:
            NbplatError: everything that can be wrong with the request (see `build_plan`), doubled
                keys in the table, and a body that fails on the sample.
        """
        spec = self._built(spec)
        plan = build_plan(
            spec,
            self.tables,
            self.engine_of(spec.engine),
            self.bodies,
            memory_bytes=self.memory_bytes,
            others=lambda asked, columns: others_of(self.store, self._reach, asked, columns),
            only=self._reach.lacking(spec),
        )
        if plan.engine not in self.runners:
            self.engines.check(plan, self.writer.folder("", plan.base.table))
        plan = replace(plan, checks=check_words(self.checks_of(spec, plan)))
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
            seconds=elapsed * len(plan.groups),
            key_check=f"unique over {rows} rows",
        )

    def submit(
        self, spec: BackfillSpec, *, owner: str, force_new: bool = False, max_cost: float | None = None
    ) -> Submission:
        """Attach to the equal live run, or plan, open a run and queue its staging.

        Args:
            max_cost: Refuse a new run that costs more at the configured prices; None allows any cost.
        """
        spec = self._built(spec)
        live = None if force_new else live_run(self.store, spec)
        if live is not None:
            return self._attach(live, owner, self._behind(spec))
        plan = self.plan(spec)
        check_cost(plan, self.prices, max_cost)
        _check_room("staging", plan.write_bytes, self.writer.free_bytes(plan.base.table), plan.base.table)
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

    def step(self, run_id: str, step: Step, *, owner: str, params: Mapping[str, Any] | None = None) -> Submission:
        """Queue an audit, a promotion or a roll back of a run.

        Args:
            params: Of a roll back: ``{"drop_column": True}`` drops new columns from the schema and touches no file.

        Raises:
            Conflict: the run is in a state from which this step cannot start.
        """
        run = self.find(run_id)
        plan = BackfillPlan.from_record(run.plan)
        allowed, doing = STEPS[step]
        if run.state == DONE[step] and step in (Step.PROMOTE, Step.ROLLBACK):
            return Submission(run, plan, None, attached=True, notes=(f"{run.id} is {run.state} already",))
        if run.state == doing:
            return Submission(run, plan, live_job(self.store, run), attached=True)
        if run.state not in allowed:
            names = " or ".join(sorted(state.replace("_", " ") for state in allowed))
            raise Conflict(
                "backfill.state",
                f"{run.id} is {run.state.replace('_', ' ')}; {step.split('.')[1]} starts from {names}",
                fix=next_verb(RunState(run.state), run.id),
            )
        if step is Step.PROMOTE:
            self._refuse_promotion([(run, plan)])
        if step is Step.ROLLBACK:
            self.store.move_run(KIND, run.id, run.state, frm=[run.state], outputs={"rollback_from": run.state})
        return Submission(run, plan, queue_step(self.store, run, step, owner, params), attached=False)

    def promote_train(self, run_ids: Sequence[str], *, owner: str) -> Submission:
        """Queue one promotion of several runs of one table: one pass over its files, one commit.

        Args:
            run_ids: The first leads: the job is its.

        Raises:
            Conflict: a run that does not await promotion, or two that make the same column.
            RequestError: runs of different tables, or one named twice.
        """
        runs = [self.find(run_id) for run_id in run_ids]
        if len(runs) == 1:
            return self.step(runs[0].id, Step.PROMOTE, owner=owner)
        plans = [BackfillPlan.from_record(run.plan) for run in runs]
        lead, plan = runs[0], plans[0]
        if all(run.state == RunState.PROMOTING for run in runs):
            return Submission(lead, plan, live_job(self.store, lead), attached=True)
        for run in runs:
            if run.state != RunState.AWAITING_PROMOTION:
                raise Conflict(
                    "backfill.state",
                    f"{run.id} is {run.state.replace('_', ' ')}; a train takes runs that await promotion",
                    fix=next_verb(RunState(run.state), run.id),
                )
        refuse_train(runs, plans)
        self._refuse_promotion(list(zip(runs, plans, strict=True)))
        params = {"train": [run.id for run in runs]}
        return Submission(lead, plan, queue_step(self.store, lead, Step.PROMOTE, owner, params), attached=False)

    def _refuse_promotion(self, runs: Sequence[tuple[Run, BackfillPlan]]) -> None:
        """Cheap, and before any effect: a column that exists by now, a disk that is too small."""
        plans = [plan for _, plan in runs]
        base = plans[0].base
        # After a commit of which nobody knew whether it counted, the table may have the columns: from this very run.
        if self.publisher.published(base, runs[0][0].id) is None:
            self.publisher.column_ids(base, schema_change(plans))
        room = self.splicer.free_bytes(plans[0].units[0].path)
        needed = max(plan.copy_bytes for plan in plans) + sum(plan.write_bytes for plan in plans)
        _check_room("promotion", needed, room, base.table)

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
        return find_run(self.store, run_id)

    def staged_columns(self, run_id: str) -> StagedColumns:
        """What a staged run offers to readers.

        Raises:
            Conflict: when the run is not staged (yet, or any more).
        """
        return staged_columns(self.store, self._reach, self.find(run_id))

    def diff(self, run_id: str, other: str | None = None, columns: Sequence[str] = ()) -> DiffReport:
        """Compare a run's columns with another run's; with the table's columns of those names, when `other` is None.

        Raises:
            Conflict: a run is not staged (yet, or any more).
            RequestError: what cannot be compared (see `nbplat.backfill.diff_runs`).
        """
        runs = [self.find(each) for each in (run_id, other) if each is not None]
        plans = [BackfillPlan.from_record(run.plan) for run in runs]
        staged = [self.staged_columns(run.id).files for run in runs]
        budget = self.memory_bytes // 4
        if len(runs) == 1:
            return diff_live(
                runs[0].id, plans[0], staged[0], self.tables, self.writer, columns=columns, memory_bytes=budget
            )
        return diff_runs(
            runs[0].id,
            runs[1].id,
            (plans[0], plans[1]),
            (staged[0], staged[1]),
            self.writer,
            columns=columns,
            memory_bytes=budget,
        )

    # -- for jobs --------------------------------------------------------------------------------

    def sweep(self, run: Run) -> tuple[str, ...]:
        """Remove branches that tries of the run's promotion or roll back left; returns their names."""
        return self.publisher.sweep(BackfillPlan.from_record(run.plan).base, run_id=run.id)

    def engine_of(self, name: str) -> Engine:
        """What binds and computes a body of that engine."""
        return self.engine if name in self.runners else self.engines.engine(name)

    def checks_of(self, spec: BackfillSpec, plan: BackfillPlan) -> Checks:
        """Levels and thresholds; RequestError for an unknown one."""
        return read_checks(spec.checks, self.audit_checks, RULES, [column.name for column in plan.columns])

    # -- looking ---------------------------------------------------------------------------------
    def progress(self, run: Run) -> dict[str, int]:
        """Counts of the run's staging units by state."""
        return progress_of(self.store, run)

    def failed_units(self, run: Run) -> list[dict[str, Any]]:
        """The files whose last try failed: ``unit``, ``partition``, ``path``, ``attempts`` and ``error`` (a record)."""
        return failed_units(self.store, run)

    def _built(self, spec: BackfillSpec) -> BackfillSpec:
        """The request with the very build that its environment's name means now; another build is another run.

        An extension brings the build of the run that it extends.

        Raises:
            NotFound: ``env.unknown``.
        """
        body = spec.body
        if not isinstance(body, PythonBody) or not body.env or body.environment is not None:
            return spec
        return replace(spec, body=replace(body, environment=self.bodies.resolve(body.env, body.project)))

    def _behind(self, spec: BackfillSpec) -> tuple[str, ...]:
        """That an equal run was asked for though its environment's declaration has moved on."""
        body = spec.body
        if not isinstance(body, PythonBody) or body.environment is None:
            return ()
        said = self.bodies.behind(body.environment, body.project)
        return (said,) if said else ()

    def _attach(self, run: Run, owner: str, more: tuple[str, ...] = ()) -> Submission:
        plan = BackfillPlan.from_record(run.plan)
        notes = (
            f"attached to {run.id}, which is {run.state.replace('_', ' ')}",
            *moved_since(self.tables, run, plan),
            *more,
        )
        job = live_job(self.store, run)
        if job is None and run.state == RunState.PLANNED:
            try:
                job = self._stage_again(run, owner)
            except Conflict:
                # It was staged meanwhile, and its next job is under way.
                job = live_job(self.store, run)
        return Submission(run, plan, job, attached=True, notes=notes)

    def _live(self, run: Run, verb: str) -> Job:
        job = live_job(self.store, run)
        if job is None:
            raise Conflict("backfill.idle", f"{run.id} has no job to {verb}", fix=f"see `%backfill status {run.id}`")
        return job

    def _stage_again(self, run: Run, owner: str) -> Job:
        if live_job(self.store, run) is None:
            self.store.reset_failed_units(stage_scope(run.id))
        return queue_step(self.store, run, Step.STAGE, owner)

    # -- extending -------------------------------------------------------------------------------
    def coverage(self, run_id: str) -> Coverage:
        """How far a promoted run's columns reach into the table as it is now.

        Raises:
            Conflict: the run is not promoted, or its columns are not in the table any more.
        """
        run = self._promoted(run_id)
        view, lacking = self._reach.view(run)
        plan = BackfillPlan.from_record(run.plan)
        files = self.tables.files(view.pin)
        return coverage_of(run.id, [column.name for column in plan.columns], files, view.files, lacking)

    def extend(self, run_id: str, *, owner: str, to: str | None = None, promote: bool = True) -> Submission:
        """Stage a promoted run's columns for the files that lack them, with the same body, and promote them.

        Args:
            to: First moment that is left out; None for no end.
            promote: Promote by itself once the audit has passed.

        Raises:
            Conflict: the run is not promoted, or every file has its columns.
            RequestError: a body that sees the whole window.
        """
        newest = self._reach.chain(self._promoted(run_id).id)[0]
        if newest.state in _ON_ITS_WAY:
            return self._attach(newest, owner)
        spec = BackfillSpec.from_record(newest.spec)
        wider = extension_spec(spec, BackfillPlan.from_record(newest.plan), newest.id, to, promote=promote)
        if not self._reach.lacking(wider):
            raise Conflict(
                "extend.nothing",
                f"every data file of {spec.table} has the columns of {run_id}",
                fix=f"nothing to do; `%backfill status {run_id}` shows what is covered",
            )
        return self.submit(wider, owner=owner)

    @property
    def _reach(self) -> Reach:
        return Reach(self.store, self.publisher)

    def _promoted(self, run_id: str) -> Run:
        run = self.find(run_id)
        while run.spec.get("extends") and run.state != RunState.PROMOTED:
            run = self.store.run(KIND, str(run.spec["extends"]))
        if run.state != RunState.PROMOTED:
            raise Conflict(
                "backfill.state",
                f"{run.id} is {run.state.replace('_', ' ')}; what is promoted can be extended",
                fix=next_verb(RunState(run.state), run.id),
            )
        return run


_ON_ITS_WAY = frozenset(LIVE_STATES) - {RunState.PROMOTED}


def _check_room(what: str, needed_bytes: int, free_bytes: int | None, table: str) -> None:
    """Refuse before any effect what the disk cannot hold; an estimate, so a full disk is handled later as well."""
    if free_bytes is not None and free_bytes < needed_bytes:
        raise SetupError(
            "disk.full",
            f"{what} of {table} writes about {needed_bytes:,} bytes and the disk has {free_bytes:,} free",
            fix="make room on that disk, then run it again",
        )
