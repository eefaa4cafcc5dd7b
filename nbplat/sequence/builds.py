"""The builds of an index: planned, queued, done, and what a try has left taken away."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.errors import Conflict
from nbplat.job import Job, JobDraft, Run, StepContext
from nbplat.job.farm import Farm
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.bound import Bound
from nbplat.sequence.build import STAGES, Builder, build_stem, spill_root, sweep_build
from nbplat.sequence.definition import Definition
from nbplat.sequence.plan import SequencePlan, index_name, plan_build
from nbplat.sequence.ports import EventSource
from nbplat.sequence.provenance import provenance
from nbplat.sequence.recipe import stored_schema_of
from nbplat.sequence.states import ALL_RUNS, KIND, SequenceState, SequenceStep

if TYPE_CHECKING:
    from nbplat.sequence.sequences import Sequences

__all__ = ["Builds"]


@dataclass(frozen=True, slots=True)
class Builds:
    """Builds indexes with the parts of `sequences`."""

    sequences: Sequences

    # -- asking ------------------------------------------------------------------------------------

    def plan(self, bound: Bound, *, engine: str = "local") -> SequencePlan:
        """What a build would do; reads metadata only.

        Raises:
            NbplatError: the engine is unknown or cannot reach the files.
        """
        source = self.sequences.sources.open(bound.declared.source)
        state = self.sequences.tables.state(index_name(bound.declared.name, bound.index_version))
        plan = plan_build(
            bound,
            source,
            self.sequences.enriching(bound),
            engine=engine,
            memory_bytes=self.sequences.memory_bytes,
            slots=self.sequences.slots,
            buckets=None if state is None else state.buckets,
        )
        # A table that is not made yet has no folder; whether workers reach it is asked again when it is.
        folder = "" if state is None else self.sequences.tables.folder(plan.table)
        self.sequences.farms.check_farm(engine, _reads(source), folder)
        return plan

    def queue(self, definition: Definition, *, owner: str, engine: str = "local") -> tuple[Run, Job | None]:
        """Keep a definition and queue the build of its index.

        Returns:
            The run, and the job: the one that is queued or running already, if there is one; None when the index
            is built and its source has not changed.

        Raises:
            NbplatError: as `keep` and `plan`; nothing is queued then.
        """
        bound = self.sequences.bind(definition)
        stored = self.sequences.find_index(bound, other_rows=True)
        if stored is not None and stored.source == self.sequences.sources.open(definition.source).pin:
            return self.sequences.keep(definition, owner=owner), None
        if stored is not None:
            return self._bring_up(bound, owner=owner, engine=engine)
        plan = self.plan(bound, engine=engine)
        run = self.sequences.keep(definition, owner=owner)
        # A frame lives in this process only: its parts are stored now.
        _ = self.sequences.sources.open(definition.source, plan.source).parts if plan.source.kind == "frame" else ()
        scope = self._scope(run, plan)
        for stage in STAGES:
            self.sequences.store.reset_failed_units(f"{scope}/{stage}")
        params = {"plan": plan.record(), "engine": engine, "scope": scope}
        draft = JobDraft(SequenceStep.BUILD, run.id, params)
        return run, self.sequences.store.submit(draft, kind_of_run=KIND, owner=owner)[0]

    def _bring_up(self, bound: Bound, *, owner: str, engine: str) -> tuple[Run, Job | None]:
        """The index is built, and its source has moved."""
        amendments = Amendments(self.sequences)
        plan = amendments.plan_increment(bound, engine=engine)
        run = self.sequences.keep(bound.declared, owner=owner)
        return run, None if plan is None else amendments.submit(run, plan, SequenceStep.BUILD, owner=owner)

    # -- working -----------------------------------------------------------------------------------

    def do(self, run: Run, context: StepContext) -> dict[str, Any]:
        """Do a build's job; safe to repeat after a kill at any point."""
        sequences = self.sequences
        definition = sequences.definition(run)
        plan = SequencePlan.from_record(context.job.params["plan"])
        if run.state == SequenceState.KEPT:
            run = sequences.store.move_run(KIND, run.id, SequenceState.BUILDING, frm=[SequenceState.KEPT])
        state = sequences.tables.state(plan.table)
        if state is None or state.report is None:
            pins = {definition.source: plan.source, **plan.enrich}
            try:
                _First(sequences.pinned(pins), run, definition, plan).build(context)
            except Conflict as conflict:
                # Another definition with this index may have built it from the same rows meanwhile.
                state = sequences.tables.state(plan.table)
                if conflict.code != "index.moved" or state is None or state.source != plan.source:
                    raise
            state = sequences.tables.state(plan.table)
        if state is None or state.report is None:
            raise Conflict("index.gone", f"{plan.table} was dropped while it was built", fix="build it again")
        # Also what a try left that was killed right after it published.
        self.sweep(context.job)
        outputs = sequences.index_outputs(state)
        sequences.store.move_run(
            KIND, run.id, SequenceState.BUILT, frm=[SequenceState.BUILDING, SequenceState.KEPT], outputs=outputs
        )
        return outputs

    def sweep(self, job: Job) -> None:
        """Take away what a build has left; see `nbplat.sequence.work.sweep`."""
        # An earlier try that failed may have had another plan: the source had moved since. Jobs that came after this
        # one may be at work: a worker that starts settles again what ended long ago.
        jobs = self.sequences.store.jobs(run_id=job.run_id, limit=ALL_RUNS)
        for each in itertools.dropwhile(lambda other: other.id != job.id, jobs):
            if each.kind == SequenceStep.BUILD and "plan" in each.params:
                plan = SequencePlan.from_record(each.params["plan"])
                self._sweep_plan(plan, str(each.params["scope"]))
                self.sequences.sweep_vocabularies(plan.table, job)

    def _sweep_plan(self, plan: SequencePlan, scope: str) -> None:
        state = self.sequences.tables.state(plan.table)
        if state is None and plan.engine != "local":
            return  # its spill files would lie beside the table
        kept = self.sequences.tables.held(plan.table)
        root = self.sequences.spill if plan.engine == "local" else spill_root(self.sequences.tables, plan.table)
        folder = self.sequences.tables.folder(plan.table) if state is not None else None
        stem = build_stem(scope)
        sweep_build(self.sequences.files, f"{root}/{stem}", folder, stem, kept)

    def _scope(self, run: Run, plan: SequencePlan) -> str:
        """First part of the scopes of a build's units; another plan begins anew."""
        return f"{run.id}/sequence/{plan.plan_hash[:12]}/{self.sequences.begun_anew(run)}"


@dataclass(frozen=True, slots=True)
class _First:
    """The first build of an index.

    Attributes:
        sequences: Whose sources are read as the plan pinned them.
    """

    sequences: Sequences
    run: Run
    definition: Definition
    plan: SequencePlan

    def build(self, context: StepContext) -> None:
        sequences, run, definition, plan = self.sequences, self.run, self.definition, self.plan
        bound = sequences.bind(definition)
        recipe = sequences.recipe(bound, plan.buckets)
        state = sequences.tables.create(
            plan.table,
            stored_schema_of(recipe),
            record=bound.index_record,
            buckets=plan.buckets,
            sort=[*definition.entity, "nb_type", "nb_time", *definition.id],
            properties={"nbplat.sequence": definition.name, "nbplat.index-version": bound.index_version},
        )
        if state.buckets != plan.buckets:
            raise Conflict(
                "index.buckets",
                f"{plan.table} was made with {state.buckets} buckets meanwhile, planned were {plan.buckets}",
                fix=f"run it again: %sequence build {definition.name}",
            )
        sequences.farms.check_farm(plan.engine, "", sequences.tables.folder(plan.table))
        with sequences.farms.farm(plan.engine, "index", context.report.log) as farm:
            scope = str(context.job.params["scope"])
            stem = build_stem(scope)
            scratch, storage = self._scratch(farm, stem)
            builder = Builder(
                plan=plan,
                recipe=recipe,
                record=bound.index_record,
                source=sequences.sources.open(definition.source, plan.source),
                tables=sequences.tables,
                farm=farm,
                store=sequences.store,
                scope=scope,
                stem=stem,
                scratch=scratch,
                scratch_storage=storage,
                memory_bytes=sequences.memory_bytes,
                lease_ms=sequences.lease_ms,
                max_attempts=sequences.unit_attempts,
                retry=f"%sequence build {definition.name} goes on with what is left",
            )
            builder.run(
                context,
                provenance(
                    run,
                    context,
                    definition,
                    step="build",
                    index_version=plan.index_version,
                    plan_hash=plan.plan_hash,
                    engine=plan.engine,
                    source=plan.source,
                    enrich=plan.enrich,
                    versions=sequences.versions,
                ),
            )

    def _scratch(self, farm: Farm, stem: str) -> tuple[str, dict[str, str]]:
        """Where spill files go, and how to open it: here, or beside the table where other machines sort."""
        tables, plan = self.sequences.tables, self.plan
        if farm.name == "local":
            return f"{self.sequences.spill}/{stem}", {}
        return f"{spill_root(tables, plan.table)}/{stem}", dict(tables.storage(plan.table))


def _reads(source: EventSource) -> str:
    """Location of one file that tasks read; empty when there is none."""
    return next((str(part.task.get("path", "")) for part in source.parts), "")
