"""Working: what each job of a run does, and how it moves the run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.backfill.attempt import Attempts
from nbplat.backfill.audit import (
    AuditReport,
    Previous,
    audit,
    body_of,
    finding_rows,
)
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import (
    Runner,
)
from nbplat.backfill.promote import Member, Promoter
from nbplat.backfill.rollback import Undoer
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import Stager, staged_files
from nbplat.backfill.states import ALL_RUNS, DONE, KIND, LIVE_STATES, STEPS, RunState, Step
from nbplat.clock import from_ms
from nbplat.errors import NbplatError
from nbplat.job import Run, StepContext
from nbplat.terms import Progress, SnapshotPin, content_hash

if TYPE_CHECKING:
    from nbplat.backfill.run import Backfills

__all__ = ["run_step"]

# Packages that only the runs of one engine name in their provenance.
_ENGINE_OF = {"pyspark": "spark", "ray": "ray"}


def run_step(runs: Backfills, context: StepContext) -> dict[str, Any]:
    """Do one job of a run; safe to repeat after a kill at any point."""
    return _Work(runs).do(context)


@dataclass(frozen=True, slots=True)
class _Work:
    """Does jobs with the parts of `runs`."""

    runs: Backfills

    def do(self, context: StepContext) -> dict[str, Any]:
        """Do one job of a run; safe to repeat after a kill at any point."""
        step = Step(context.job.kind)
        run = self.runs.store.run(KIND, context.job.run_id)
        plan = BackfillPlan.from_record(run.plan)
        allowed, doing = STEPS[step]
        if run.state == DONE[step]:
            # An earlier try of this job did it all and was killed before it could say so.
            return dict(run.outputs["audit"] if step is Step.AUDIT else run.outputs)
        self.runs.store.move_run(KIND, run.id, doing, frm=[*allowed, doing])
        if plan.python is not None and step in (Step.STAGE, Step.AUDIT):
            self.runs.bodies.present(dict(plan.python))
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
        scratch = self.runs.scratch / run.id.replace("@", "-")
        with self._runner(plan, scratch, context) as runner:
            stager = Stager(
                plan,
                run.id,
                self.runs.tables,
                runner,
                self.runs.publisher,
                self.runs.store,
                self.runs.writer.folder(run.id, plan.base.table),
                scratch,
                self.runs.settings,
                self.runs.lease_ms,
                self.runs.unit_attempts,
            )
            outputs = stager.run(context, self._provenance(run, plan, Step.STAGE))
        self.runs.store.move_run(KIND, run.id, RunState.STAGED, frm=[RunState.STAGING], outputs=outputs)
        return outputs

    def _runner(self, plan: BackfillPlan, scratch: Path, context: StepContext) -> AbstractContextManager[Runner]:
        if plan.engine in self.runs.runners:
            return nullcontext(self.runs.runners[plan.engine])
        return self.runs.engines.runner(plan, scratch, context.report.log)

    def _audit(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        spec = BackfillSpec.from_record(run.spec)

        def show(done: int, total: int) -> None:
            context.report.progress(Progress(done, total, "checks"))
            context.report.checkpoint()

        report = audit(
            plan,
            staged_files(self.runs.store, run.id),
            self.runs.tables,
            self.runs.writer,
            body_of(plan, self.runs.settings, self.runs.engine_of(plan.engine)),
            checks=self.runs.checks_of(spec, plan),
            as_of=spec.as_of,
            source_times=spec.source_times,
            replaced=spec.replace,
            previous=self._previous(run, plan),
            show=show,
        )
        for finding in report.findings:
            verdict = "ok" if finding.passed else "BLOCKS" if finding.blocks else "warns"
            context.report.log(f"{verdict:6} {finding.rule} {finding.column} {finding.message}")
        report = self._log_findings(report, run, plan, context)
        state = RunState.AUDITED if report.passed else RunState.REJECTED
        self.runs.store.move_run(KIND, run.id, state, frm=[RunState.AUDITING], outputs={"audit": report.record()})
        return report.record()

    def _log_findings(self, report: AuditReport, run: Run, plan: BackfillPlan, context: StepContext) -> AuditReport:
        """Append the findings to the lakehouse's table; an audit counts without it, and says that it is missing."""
        rows = finding_rows(
            report.findings,
            run=run.id,
            job=context.job.id,
            plan_hash=plan.plan_hash,
            table=plan.base.table,
            at=from_ms(self.runs.clock.now_ms()),
        )
        try:
            table = self.runs.audit_log.append(rows, run=run.id, job=context.job.id)
        except NbplatError as error:
            note = f"the findings are not in the lakehouse: {error}"
        else:
            note = f"findings are kept in {table}"
        context.report.log(note)
        return replace(report, notes=(note,))

    def _previous(self, run: Run, plan: BackfillPlan) -> dict[str, Previous]:
        """For each new column the newest earlier run on this table that had it promoted."""
        found: dict[str, Previous] = {}
        for other in self.runs.store.runs(KIND):
            if other.id == run.id or "publication" not in other.outputs or other.created_ms > run.created_ms:
                continue
            if other.plan["base"]["table_uuid"] != plan.base.table_uuid:
                continue
            for name in {column["name"] for column in other.plan["columns"]} & {c.name for c in plan.columns}:
                found.setdefault(name, Previous(other.id, staged_files(self.runs.store, other.id)))
        return found

    def _promote(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        store, train = self.runs.store, context.job.params.get("train", ())
        runs = [run, *(store.run(KIND, other) for other in train if other != run.id)]
        for other in runs[1:]:
            if other.state != RunState.PROMOTED:
                store.move_run(
                    KIND, other.id, RunState.PROMOTING, frm=[RunState.AWAITING_PROMOTION, RunState.PROMOTING]
                )
        members = [self._member(each, plan if each is run else BackfillPlan.from_record(each.plan)) for each in runs]
        promoter = Promoter(tuple(members), self._attempts(plan.base))
        outputs = promoter.run(context, run.outputs.get("reserved") or {})
        # The one that leads last: until then a try after a kill goes on with the train.
        for each in reversed(runs):
            store.move_run(KIND, each.id, RunState.PROMOTED, frm=[RunState.PROMOTING], outputs=outputs[each.id])
        return outputs[run.id]

    def _member(self, run: Run, plan: BackfillPlan) -> Member:
        about = self._provenance(run, plan, Step.PROMOTE)
        return Member(run.id, plan, staged_files(self.runs.store, run.id), about)

    def _roll_back(self, run: Run, plan: BackfillPlan, context: StepContext) -> dict[str, Any]:
        undoer = Undoer(plan, run.id, self._attempts(plan.base))
        outputs = undoer.run(context, run.outputs, drop_column=bool(context.job.params.get("drop_column")))
        self.runs.store.move_run(KIND, run.id, RunState.ROLLED_BACK, frm=[RunState.ROLLING_BACK], outputs=outputs)
        return outputs

    def _attempts(self, base: SnapshotPin) -> Attempts:
        runs = self.runs
        return Attempts(
            tables=runs.tables,
            writer=runs.writer,
            splicer=runs.splicer,
            publisher=runs.publisher,
            store=runs.store,
            clock=runs.clock,
            lease_ms=runs.lease_ms,
            max_attempts=runs.unit_attempts,
            wait_ms=runs.wait_ms,
            keep_schemas=self._schemas_in_use(base),
        )

    def _schemas_in_use(self, base: SnapshotPin) -> frozenset[int]:
        pins = [
            pin
            for run in self.runs.store.runs(KIND, limit=ALL_RUNS)
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
            "nbplat.code": content_hash({key: run.spec.get(key) for key in ("sql", "python")}),
            **_environment(plan, run.spec),
            **{f"nbplat.source.{source.pin.table}": str(source.pin.snapshot_id) for source in plan.sources},
            **{
                f"nbplat.version.{name}": version
                for name, version in self.runs.versions.items()
                if _ENGINE_OF.get(name, plan.engine) == plan.engine
            },
        }


def _environment(plan: BackfillPlan, spec: Mapping[str, Any]) -> dict[str, str]:
    """Where a Python body ran: name, content and lock of a built environment, or the path that was given."""
    asked = (spec.get("python") or {}).get("env")
    built = (plan.python or {}).get("environment")
    if not built:
        return {"nbplat.environment": str(asked)} if asked else {}
    return {
        "nbplat.environment": built["name"],
        "nbplat.environment.key": built["key"],
        "nbplat.environment.lock": built["lock_digest"],
        "nbplat.environment.python": built["python"],
    }
