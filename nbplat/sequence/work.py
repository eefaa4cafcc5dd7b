"""Working: what each job of a sequence does, and how it moves the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.errors import Conflict, InternalError
from nbplat.job import Run, StepContext
from nbplat.job.farm import Farm
from nbplat.sequence.amendments import AMENDS, Amendments
from nbplat.sequence.build import Builder, build_stem, spill_root
from nbplat.sequence.definition import Definition
from nbplat.sequence.exports import Exports
from nbplat.sequence.plan import SequencePlan
from nbplat.sequence.provenance import provenance
from nbplat.sequence.recipe import stored_schema_of
from nbplat.sequence.states import KIND, SequenceState, SequenceStep

if TYPE_CHECKING:
    from nbplat.sequence.sequences import Sequences

__all__ = ["Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """Does jobs with the parts of `sequences`."""

    sequences: Sequences

    def do(self, context: StepContext) -> dict[str, Any]:
        """Do one job; safe to repeat after a kill at any point."""
        run = self.sequences.store.run(KIND, context.job.run_id)
        if AMENDS in context.job.params:
            return Amendments(self.sequences).do(run, context)
        match context.job.kind:
            case SequenceStep.BUILD:
                return self._build(run, context)
            case SequenceStep.EXPORT:
                return Exports(self.sequences).do(run, context)
            case step:
                raise InternalError("job.kind", f"this nbplat does not know the job {step!r}", fix="upgrade nbplat")

    def _build(self, run: Run, context: StepContext) -> dict[str, Any]:
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
        sequences.sweep(context.job)
        outputs = sequences.index_outputs(state)
        sequences.store.move_run(
            KIND, run.id, SequenceState.BUILT, frm=[SequenceState.BUILDING, SequenceState.KEPT], outputs=outputs
        )
        return outputs


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
