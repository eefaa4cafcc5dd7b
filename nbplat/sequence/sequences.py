"""Kept definitions and their indexes: what is kept, found and opened, and the parts that work on them is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbplat.errors import NbplatError, NotFound, RequestError, did_you_mean
from nbplat.job import Job, JobState, JobStore, Run, RunDraft
from nbplat.job.farm import Farms
from nbplat.sequence.bind import bind, tables_of
from nbplat.sequence.bound import Bound
from nbplat.sequence.definition import Definition
from nbplat.sequence.enrich import enrich_tasks
from nbplat.sequence.examples import Examples, read_examples
from nbplat.sequence.memory_index import index_in_memory
from nbplat.sequence.parse import parse_definition
from nbplat.sequence.pinned_sources import PinnedSources
from nbplat.sequence.plan import choose_buckets, held_bytes, index_name
from nbplat.sequence.ports import (
    Conditions,
    EventSource,
    EventSources,
    Index,
    IndexState,
    IndexTables,
    SourcePin,
    VocabTables,
)
from nbplat.sequence.recipe import index_schema, recipe_of
from nbplat.sequence.states import ALL_RUNS, KIND, LIVE_STATES, SequenceState
from nbplat.sequence.stored_index import StoredIndex
from nbplat.sequence.write import to_yaml
from nbplat.terms import Files, RunId

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.remote.sequence.tasks import Recipe
    from nbplat.sequence.export import ExportTables

__all__ = ["Sequences"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Sequences:
    """Everything one can do with sequences, with the parts that a platform gives.

    Attributes:
        farms, engine: What builds run on; the default engine.
        spill: Folder on this machine for what lasts as long as a build; a location.
        slots: Tasks at a time on this machine.
        memory_bytes: What one heavy step may hold on this machine.
        lease_ms, unit_attempts: Of a unit in the ledger.
        versions: Package -> version, for provenance.
        tensors: Turns the arrays of a batch into tensors.
    """

    store: JobStore
    sources: EventSources
    tables: IndexTables
    vocabularies: VocabTables
    exports: ExportTables
    tensors: Callable[[Mapping[str, Any]], dict[str, Any]]
    conditions: Conditions
    farms: Farms
    files: Files
    spill: str
    slots: int
    memory_bytes: int
    lease_ms: int
    unit_attempts: int
    versions: Mapping[str, str]

    # -- definitions -------------------------------------------------------------------------------

    def bind(self, definition: Definition, *, variant: str | None = None, examples: str | None = None) -> Bound:
        """Hold a definition against what it names; see `nbplat.sequence.bind.bind`.

        Args:
            examples: What the examples are read from; None leaves them unchecked.

        Raises:
            NotFound: the source, the examples or a table that enriches is not there.
            RequestError: a column, a type or a condition does not fit; with its line.
        """
        return bind(
            definition,
            self._schema(definition.source, definition.lines.get("source", "")),
            None if examples is None else self._schema(examples, ""),
            {name: self._schema(name, _enriches(definition, name)) for name in tables_of(definition)},
            self.conditions,
            variant=variant,
        )

    def _schema(self, name: str, place: str) -> pa.Schema:
        """Columns of what is named at `place`."""
        try:
            return self.sources.open(name).schema
        except NbplatError as exc:
            exc.where = exc.where or place
            raise

    def keep(self, definition: Definition, *, owner: str, outputs: Mapping[str, Any] | None = None) -> Run:
        """Keep a definition as a run ``name@n``; an equal one under the same name is the same run.

        A definition that changed is ``name@n+1``; the old one stays as it is, with its index.

        Args:
            outputs: Merged into the run's outputs.

        Raises:
            NbplatError: what `bind` raises; nothing is kept then.
        """
        bound = self.bind(definition)
        draft = RunDraft(
            kind=KIND,
            name=definition.name,
            identity=definition.version,
            state=SequenceState.KEPT,
            live_states=LIVE_STATES,
            spec={"definition": to_yaml(definition), "record": definition.record()},
            plan={},
            owner=owner,
        )
        run, _ = self.store.open_run(draft)
        found = {"index_version": bound.index_version, **(outputs or {})}
        stored = self.find_index(bound)
        if stored is None or run.state != SequenceState.KEPT:
            return self.store.move_run(KIND, run.id, run.state, frm=[run.state], outputs=found)
        # Another definition with the same index has built it.
        found |= self.index_outputs(stored.state)
        return self.store.move_run(KIND, run.id, SequenceState.BUILT, frm=[SequenceState.KEPT], outputs=found)

    def find(self, name: str) -> Run:
        """A kept run by id, or the newest of a name.

        Raises:
            NotFound: there is none.
        """
        if "@" in name:
            return self.store.run(KIND, str(RunId.parse(name)))
        found = self.store.runs(KIND, name=name, limit=1)
        if found:
            return found[0]
        known = {run.name for run in self.store.runs(KIND, limit=ALL_RUNS)}
        fix = did_you_mean(name, known) or "no sequence is kept yet: run a %%sequence cell"
        raise NotFound("sequence.unknown", f"there is no sequence {name!r}", fix=fix)

    def definition(self, run: Run) -> Definition:
        """What was kept."""
        return parse_definition(str(run.spec["definition"]), run.name)

    # -- indexes -----------------------------------------------------------------------------------

    def find_index(
        self, bound: Bound, *, snapshot_id: int | None = None, other_rows: bool = False
    ) -> StoredIndex | None:
        """The built index of a definition; None when none was published.

        A table or files may have gained rows since (see `moved`); an index over a frame is found for those very rows
        only, since another frame may have the name by now.

        Args:
            snapshot_id: An older state of it.
            other_rows: Also one over another frame of the name: what is to be brought up to date.

        Raises:
            Conflict: the snapshot is gone.
        """
        for name in self._names(bound):
            state = self.tables.state(name, snapshot_id)
            if state is not None and state.report is not None and (other_rows or self._of_these_rows(state)):
                return StoredIndex(self.tables, state)
        return None

    def open(self, bound: Bound, *, snapshot_id: int | None = None) -> Index:
        """The index to read: the built one, else one in memory when the source is small.

        Raises:
            RequestError: ``sequence.too_big``, nothing is built and the source is too big for memory.
            DataError: times that cannot be read; ``sequence.early``.
            NotFound: ``sequence.no_snapshot``: a snapshot was asked for and nothing is built.
        """
        stored = self.find_index(bound, snapshot_id=snapshot_id)
        if stored is not None:
            return stored
        name = bound.declared.name
        if snapshot_id is not None:
            raise NotFound("sequence.no_snapshot", f"{name} has no index", fix=f"build it: %sequence build {name}")
        source = self.sources.open(bound.declared.source)
        limit = self.memory_bytes // 4
        held = held_bytes(index_schema(bound), source.rows)
        if held > limit:
            raise RequestError(
                "sequence.too_big",
                f"{source.pin.name} has up to {source.rows:,} rows, about {held >> 20:,} MB in memory, and"
                f" {limit >> 20:,} MB may be taken",
                fix=f"build the index first: %sequence build {name}; or raise limits.memory_bytes",
            )
        recipe = self.recipe(bound, choose_buckets(source.rows, held, limit))
        return index_in_memory(bound.index_record, recipe, source, limit_bytes=limit)

    def moved(self, index: Index) -> bool:
        """True when the source has other rows by now than the index was built from."""
        return self.sources.open(index.source.name).pin != index.source

    def examples(
        self, definition: Definition, name: str, carry: Sequence[str] = (), *, limit: int | None = None
    ) -> Examples:
        """Read examples; see `nbplat.sequence.examples.read_examples`."""
        return read_examples(self.sources.open(name), definition, carry, limit=limit)

    def sweep_vocabularies(self, table: str, job: Job) -> None:
        """Remove the files of vocabularies of an index that are a day older than a job and were never committed."""
        for location in self.vocabularies.unnamed(table, self.files, job.created_ms - _DAY_MS):
            self.files.delete(location)

    def pinned(self, pins: Mapping[str, SourcePin]) -> Sequences:
        """The same, but sources of these names are read at these states."""
        return replace(self, sources=PinnedSources(self.sources, pins))

    def recipe(self, bound: Bound, buckets: int) -> Recipe:
        """What workers are told; see `nbplat.sequence.recipe.recipe_of`."""
        tasks = enrich_tasks(bound.index_enrichments, self.enriching(bound), bound.definition)
        return recipe_of(bound, tasks, buckets)

    def enriching(self, bound: Bound) -> dict[str, EventSource]:
        """The tables that enrich at index, at their present state."""
        return {each.table: self.sources.open(each.table) for each in bound.index_enrichments}

    def index_outputs(self, state: IndexState) -> dict[str, Any]:
        """What a run tells of its index."""
        report, source = state.report, state.source
        return {
            "index": state.pin.table,
            "snapshot_id": state.pin.snapshot_id,
            "buckets": state.buckets,
            "source": None if source is None else source.record(),
            "report": None if report is None else report.record(),
        }

    def _of_these_rows(self, state: IndexState) -> bool:
        source = state.source
        return source is None or source.kind != "frame" or self.sources.open(source.name).pin == source

    def begun_anew(self, run: Run) -> int:
        """How many jobs of a run ended without their spill files: what they have done counts no longer.

        A cancelled job's are removed; another's may be lost, to somebody who made room.
        """
        jobs = self.store.jobs(run_id=run.id, states={JobState.CANCELLED, JobState.FAILED}, limit=ALL_RUNS)
        return sum(job.state is JobState.CANCELLED or (job.error or {}).get("code") == "spill.gone" for job in jobs)

    def _names(self, bound: Bound) -> list[str]:
        """Tables that may hold the index: under the definition's name, then under others that have built it."""
        own = index_name(bound.declared.name, bound.index_version)
        others = [
            str(run.outputs["index"])
            for run in self.store.runs(KIND, limit=ALL_RUNS)
            if run.outputs.get("index_version") == bound.index_version and "index" in run.outputs
        ]
        return list(dict.fromkeys([own, *others]))


def _enriches(definition: Definition, table: str) -> str:
    """Where the first enrichment from a table was written."""
    for when, found in (("index", definition.enrich_index), ("read", definition.enrich_read)):
        for each in found:
            if each.table == table:
                return definition.lines.get(f"enrich.{when}.{each.name}", "")
    return ""
