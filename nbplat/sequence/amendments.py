"""An index over days: brought to its present source by a second build, corrected with the difference shown first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.errors import NotFound
from nbplat.job import END_STATES, Job, JobDraft, Run, StepContext
from nbplat.sequence.amend import AMEND_STAGES, Amender
from nbplat.sequence.amend_plan import EVERYTHING, AmendPlan, plan_correction, plan_increment
from nbplat.sequence.build import build_stem, spill_root, sweep_build
from nbplat.sequence.compact import Compactor, crowded
from nbplat.sequence.definition import Definition
from nbplat.sequence.index_diff import explain_diff
from nbplat.sequence.provenance import provenance
from nbplat.sequence.states import ALL_RUNS, KIND, SequenceState, SequenceStep

if TYPE_CHECKING:
    from nbplat.sequence.bound import Bound
    from nbplat.sequence.ports import EventSource, IndexState
    from nbplat.sequence.sequences import Sequences

__all__ = ["AMENDS", "Amendments"]

AMENDS = "amend"
"""Names the plan among the parameters of a job that amends an index."""


@dataclass(frozen=True, slots=True)
class Amendments:
    """Amends indexes with the parts of `sequences`."""

    sequences: Sequences

    # -- asking ------------------------------------------------------------------------------------

    def plan_increment(self, bound: Bound, *, engine: str = "local") -> AmendPlan | None:
        """What a second build would do; None when the index is that of the present source.

        Raises:
            NotFound: ``sequence.not_built``.
            NbplatError: the engine is unknown or cannot reach the files.
        """
        state, source = self._state(bound), self.sequences.sources.open(bound.declared.source)
        plan = plan_increment(bound, state, source, **self._with(bound, engine))
        self._reachable(engine, source, state)
        return plan

    def plan_correction(
        self, bound: Bound, window: tuple[int | None, int | None] = EVERYTHING, *, engine: str = "local"
    ) -> AmendPlan:
        """What a correction would compare.

        Raises:
            NotFound: ``sequence.not_built``.
            Conflict: ``sequence.window_narrow``: the source has changed outside of the window.
        """
        state, source = self._state(bound), self.sequences.sources.open(bound.declared.source)
        plan = plan_correction(bound, state, source, window=window, **self._with(bound, engine))
        self._reachable(engine, source, state)
        return plan

    def _with(self, bound: Bound, engine: str) -> dict[str, Any]:
        sequences = self.sequences
        return {
            "enrich": sequences.enriching(bound),
            "engine": engine,
            "memory_bytes": sequences.memory_bytes,
            "slots": sequences.slots,
        }

    def _reachable(self, engine: str, source: EventSource, state: IndexState) -> None:
        reads = next((str(part.task.get("path", "")) for part in source.parts), "")
        self.sequences.farms.check_farm(engine, reads, self.sequences.tables.folder(state.pin.table))

    def correct(
        self,
        definition: Definition,
        *,
        owner: str,
        window: tuple[int | None, int | None] = EVERYTHING,
        engine: str = "local",
        publish: bool = False,
    ) -> tuple[Run, Job]:
        """Queue a correction; its result has the difference, and with `publish` the index's new snapshot.

        What a correction compared is published by the next one of the same index, source and window without being
        compared again.

        Args:
            window: From the first to before the second moment, microseconds since 1970 UTC; None without an end.

        Raises:
            NbplatError: as `plan_correction`; nothing is queued then.
        """
        plan = self.plan_correction(self.sequences.bind(definition), window, engine=engine)
        run = self.sequences.keep(definition, owner=owner)
        return run, self.submit(run, plan, SequenceStep.CORRECT, owner=owner, publish=publish)

    def submit(self, run: Run, plan: AmendPlan, step: SequenceStep, *, owner: str, publish: bool = True) -> Job:
        """Queue the job of a plan."""
        # A frame lives in this process only: its parts are stored now.
        source = plan.source
        _ = self.sequences.sources.open(source.name, source).parts if source.kind == "frame" else ()
        scope = self._scope(run, plan)
        for stage in AMEND_STAGES:
            self.sequences.store.reset_failed_units(f"{scope}/{stage}")
        params = {AMENDS: plan.record(), "engine": plan.engine, "scope": scope, "publish": publish}
        return self.sequences.store.submit(JobDraft(step, run.id, params), kind_of_run=KIND, owner=owner)[0]

    # -- working -----------------------------------------------------------------------------------

    def do(self, run: Run, context: StepContext) -> dict[str, Any]:
        """Compare, show the difference, publish it where that was asked for; safe to repeat after a kill."""
        sequences, plan = self.sequences, AmendPlan.from_record(context.job.params[AMENDS])
        self._sweep_earlier(context.job)
        state = sequences.tables.state(plan.index.table)
        mine = f"{run.id}/{context.job.id}"
        if state is not None and state.summary.get("nbplat.job") in (mine, f"{mine}/compact"):
            # This job has published in a try that died behind the commit.
            self.sweep(context.job)
            return self._published(run, plan, dict(run.outputs.get("diff") or {}))
        if context.job.kind == SequenceStep.BUILD and state is not None and state.source == plan.source:
            # Another run that shares the index has brought it up to date since the plan was made.
            self.sweep(context.job)
            return self._published(run, plan, {})
        definition = sequences.definition(run)
        pinned = sequences.pinned({definition.source: plan.source, **plan.enrich})
        with self._amender(pinned, run, plan, context) as amender:
            compared = amender.compare(context)
            for line in explain_diff(compared.diff):
                context.report.log(line)
            diff = compared.diff.record()
            run = sequences.store.move_run(KIND, run.id, run.state, frm=[run.state], outputs={"diff": diff})
            if not context.job.params["publish"]:
                amender.forget_spills()
                return {"diff": diff, "published": False}
            told = provenance(
                run,
                context,
                definition,
                step="increment" if plan.kind == "increment" else "correct",
                index_version=pinned.bind(definition).index_version,
                plan_hash=plan.plan_hash,
                engine=plan.engine,
                source=plan.source,
                enrich=plan.enrich,
                versions=sequences.versions,
            )
            tag = f"nbplat-{run.id.replace('@', '-')}-{amender.stem}"
            amender.publish(compared, told, tag)
            self._compact(amender, context, told, tag)
        self.sweep(context.job)
        return self._published(run, plan, diff)

    def sweep(self, job: Job) -> None:
        """Remove what an amendment that was not published has written."""
        plan = AmendPlan.from_record(job.params[AMENDS])
        state = self.sequences.tables.state(plan.index.table)
        kept = self.sequences.tables.held(plan.index.table)
        folder = None if state is None else self.sequences.tables.folder(plan.index.table)
        scope = str(job.params["scope"])
        sweep_build(self.sequences.files, self._scratch(plan, scope), folder, build_stem(scope), kept)
        self.sequences.sweep_vocabularies(plan.index.table, job)

    def _compact(self, amender: Amender, context: StepContext, told: Mapping[str, str], tag: str) -> None:
        """Write buckets of too many runs as one file, in a commit of its own."""
        tables, plan = self.sequences.tables, amender.plan
        state = tables.state(plan.index.table)
        buckets = () if state is None else crowded(tables.files(state.pin))
        if state is None or not buckets:
            return
        context.report.log(f"{len(buckets)} buckets of many runs are written as one file each")
        compactor = Compactor(
            state=state,
            recipe=amender.recipe,
            tables=tables,
            farm=amender.farm,
            store=amender.store,
            scope=amender.scope,
            stem=amender.stem,
            memory_bytes=amender.memory_bytes,
            lease_ms=amender.lease_ms,
            max_attempts=amender.max_attempts,
            retry=amender.retry,
        )
        compactor.run(
            context, buckets, {**told, "nbplat.job": f"{told['nbplat.job']}/compact", "nbplat.step": "compact"}
        )

    def _published(self, run: Run, plan: AmendPlan, diff: dict[str, Any]) -> dict[str, Any]:
        state = self.sequences.tables.state(plan.index.table)
        if state is None:
            raise _not_built(plan.name)
        outputs = self.sequences.index_outputs(state)
        to, frm = SequenceState.BUILT, [SequenceState(run.state)]
        self.sequences.store.move_run(KIND, run.id, to, frm=frm, outputs=outputs)
        return {**outputs, "diff": diff, "published": True}

    @contextmanager
    def _amender(self, sequences: Sequences, run: Run, plan: AmendPlan, context: StepContext) -> Iterator[Amender]:
        bound, scope = sequences.bind(sequences.definition(run)), str(context.job.params["scope"])
        state = sequences.tables.state(plan.index.table, plan.index.snapshot_id)
        if state is None:
            raise _not_built(plan.name)
        with sequences.farms.farm(plan.engine, "index", context.report.log) as farm:
            local = farm.name == "local"
            yield Amender(
                plan=plan,
                recipe=sequences.recipe(bound, plan.buckets),
                state=state,
                source=sequences.sources.open(bound.declared.source, plan.source),
                tables=sequences.tables,
                farm=farm,
                store=sequences.store,
                files=sequences.files,
                scope=scope,
                stem=build_stem(scope),
                scratch=self._scratch(plan, scope),
                scratch_storage={} if local else dict(sequences.tables.storage(plan.index.table)),
                memory_bytes=sequences.memory_bytes,
                lease_ms=sequences.lease_ms,
                max_attempts=sequences.unit_attempts,
                retry=f"%sequence {context.job.kind.partition('.')[2]} {plan.name} goes on with what is left",
            )

    def _scratch(self, plan: AmendPlan, scope: str) -> str:
        local = plan.engine == "local"
        root = self.sequences.spill if local else spill_root(self.sequences.tables, plan.index.table)
        return f"{root}/{build_stem(scope)}"

    def _sweep_earlier(self, job: Job) -> None:
        """Drop what amendments wrote and nobody published, when another one begins."""
        for each in self.sequences.store.jobs(run_id=job.run_id, states=END_STATES, limit=ALL_RUNS):
            if AMENDS not in each.params or (each.result or {}).get("published"):
                continue
            if each.params["scope"] != job.params["scope"]:
                self.sweep(each)

    def _scope(self, run: Run, plan: AmendPlan) -> str:
        """First part of the scopes of an amendment's units; another plan begins anew."""
        return f"{run.id}/sequence/{plan.plan_hash[:12]}/{self.sequences.begun_anew(run)}"

    def _state(self, bound: Bound) -> IndexState:
        stored = self.sequences.find_index(bound, other_rows=True)
        if stored is None:
            raise _not_built(bound.declared.name)
        return stored.state


def _not_built(name: str) -> NotFound:
    return NotFound("sequence.not_built", f"{name} has no index", fix=f"build it: %sequence build {name}")
