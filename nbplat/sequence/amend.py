"""Amend an index: compare it with its source piece by piece, show the difference, publish it in one commit.

Workers only write files: the rows to add, and what changes. Until the commit the index is what it was, and the same
amendment goes on where it stopped; what was compared is published later without being compared again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbplat.job import StepContext
from nbplat.remote.sequence.amend import amend
from nbplat.remote.sequence.direct import refuse_early
from nbplat.remote.sequence.scatter import scatter
from nbplat.remote.sequence.tally import add
from nbplat.remote.sequence.tasks import AmendTask, ScatterTask, Sieve
from nbplat.sequence.amend_plan import EVERYTHING, AmendPlan, AmendUnit, amend_units
from nbplat.sequence.failures import our_errors
from nbplat.sequence.index_diff import IndexDiff, diff_of
from nbplat.sequence.ports import EventSource, IndexFile, IndexState
from nbplat.sequence.recipe import stored_schema_of
from nbplat.sequence.report import report_of
from nbplat.sequence.unit_steps import SpillSteps, of_bucket
from nbplat.terms import Files, SnapshotPin

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["AMEND_STAGES", "Amender", "Compared"]

AMEND_STAGES = ("scatter", "amend", "again-scatter", "again", "compact")
"""What units an amendment has in the ledger: the last part of their scopes."""

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Compared:
    """An index held against its source.

    Attributes:
        diff: For a person.
        units: Results of the units that compared a bucket each, by unit.
        tally: Of the index as it will be.
    """

    diff: IndexDiff
    units: Results
    tally: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amender(SpillSteps):
    """Amends one index.

    Attributes:
        state: The index at the plan's snapshot.
        source: At the plan's pin.
    """

    plan: AmendPlan
    state: IndexState
    source: EventSource
    files: Files

    def compare(self, context: StepContext) -> Compared:
        """Do every unit that is not done yet.

        Raises:
            NbplatError: the first unit's error, when units failed for good.
            Conflict: ``job.stopped``.
            JobPaused: a person asked to pause.
        """
        spilled = self._scatter(context, "scatter", self.plan.units, self._part_tasks())
        with our_errors():
            refuse_early(add(each["tally"] for each in spilled.values()), self.recipe)
        units = dict(self._amend(context, "amend", spilled, self._buckets(spilled), again=None))
        units |= self._look_again(context, units)
        diff = diff_of(
            units.values(),
            kind=self.plan.kind,
            window=self.plan.window,
            rows=self._tally["rows"],
            parent=self.plan.index.snapshot_id,
            reason=self.plan.reason,
        )
        return Compared(diff, units, self._tally_after(spilled, units))

    def publish(self, compared: Compared, provenance: Mapping[str, str], tag: str | None = None) -> SnapshotPin:
        """Publish what was compared; the index stays at its snapshot when nothing differs and the source is the same.

        Raises:
            Conflict: ``index.moved``: something else was published since the comparison.
        """
        plan = self.plan
        added = tuple(IndexFile(**file) for _, unit in sorted(compared.units.items()) for file in unit["files"])
        if compared.diff.empty and plan.before == plan.source:
            return plan.index
        size = sum(file.file_bytes for file in (*self.tables.files(plan.index), *added))
        return self.tables.publish(
            plan.index.table,
            plan.index.snapshot_id,
            added=added,
            removed=self._removed(compared),
            source=plan.source,
            report=report_of(compared.tally, self.recipe, plan.source.name, size),
            summary=provenance,
            tag=tag,
        )

    def changes(self, compared: Compared) -> Iterator[pa.Table]:
        """Every event that differs; see `nbplat.remote.sequence.change_file.write_changes`."""
        from nbplat.remote.sequence.change_file import read_changes

        for _, unit in sorted(compared.units.items()):
            yield read_changes(unit["changes"]["path"], self.scratch_storage)

    def forget_spills(self) -> None:
        """Remove the spill files; what was compared stays, to be published later."""
        for file in self.files.list(self.scratch):
            if not file.location.endswith((".changes.arrow", ".again.arrow")):
                self.files.delete(file.location)

    # -- units -------------------------------------------------------------------------------------

    def _part_tasks(self) -> Mapping[str, Mapping[str, Any]]:
        added = self.source.added_since(self.plan.before) if self.plan.kind != "everything" else ()
        return {part.id: part.task for part in (*(added or ()), *self.source.parts)}

    def _scatter(
        self,
        context: StepContext,
        stage: str,
        units: Sequence[AmendUnit],
        tasks: Mapping[str, Mapping[str, Any]],
        again: Sequence[str] | None = None,
    ) -> Results:
        by_id = {unit.id: unit for unit in units}

        def make(unit: str, fence: int) -> ScatterTask:
            sieve = self._sieve(by_id[unit].side, again)
            parts = ({**tasks[part], **({"sieve": sieve} if sieve else {})} for part in by_id[unit].parts)
            return self.scatter_task(unit, fence, parts)

        return self.work(context, stage, "parts of the source").run(self.farm, scatter, list(by_id), make)

    def _sieve(self, side: str, again: Sequence[str] | None) -> Sieve | None:
        if again is None and side == "all":
            return None
        return Sieve(
            window=self.plan.window or EVERYTHING,
            inside=side == "inside",
            entities=None if again is None else list(again),
            storage=dict(self.scratch_storage),
        )

    def _buckets(self, spilled: Results) -> list[int]:
        """Those that can differ."""
        fresh = {at for each in spilled.values() for at, rows in enumerate(each["spill"]["rows"]) if rows}
        stored = set() if self.plan.kind == "increment" else {f.bucket for f in self.tables.files(self.plan.index)}
        return sorted(fresh | stored)

    def _amend(
        self, context: StepContext, stage: str, spilled: Results, buckets: Sequence[int], again: Sequence[str] | None
    ) -> Results:
        schema = stored_schema_of(self.recipe).serialize().to_pybytes()
        spills = [each["spill"] for _, each in sorted(spilled.items())]
        folder, storage = self.tables.folder(self.plan.index.table), dict(self.tables.storage(self.plan.index.table))

        def make(unit: str, fence: int) -> AmendTask:
            bucket = int(unit.rpartition("b")[2])
            return AmendTask(
                unit=unit,
                fence=fence,
                stem=self.stem,
                bucket=bucket,
                spills=of_bucket(spills, bucket),
                runs=[dict(part.task) for part in self.tables.parts(self.plan.index, bucket)],
                window=self.plan.window,
                entities=None if again is None else list(again),
                defer=self.plan.defer and again is None,
                recipe=self.recipe,
                stored=schema,
                scratch=self.scratch,
                scratched=dict(self.scratch_storage),
                out=folder,
                storage=storage,
                memory_bytes=self.task_bytes,
            )

        names = [f"{stage}-b{bucket:04d}" for bucket in buckets]
        return self.work(context, stage, "buckets").run(self.farm, amend, names, make)

    def _look_again(self, context: StepContext, units: Results) -> Results:
        """Users who lose an event of the window: a copy of it may lie elsewhere, so all their events are compared."""
        found = {unit: each["again"]["path"] for unit, each in units.items() if each.get("again")}
        if not found:
            return {}
        again = [found[unit] for unit in sorted(found)]
        whole = amend_units(self.source.parts, "all", max(self.farm.slots, 1))
        parts = [replace(unit, id=f"again-{unit.id}") for unit in whole]
        tasks = {part.id: part.task for part in self.source.parts}
        spilled = self._scatter(context, "again-scatter", parts, tasks, again)
        return self._amend(context, "again", spilled, sorted(int(u.rpartition("b")[2]) for u in found), again)

    # -- counts ------------------------------------------------------------------------------------

    @property
    def _tally(self) -> Mapping[str, Any]:
        return self.state.report.tally if self.state.report is not None else add([])

    def _tally_after(self, spilled: Results, units: Results) -> Mapping[str, Any]:
        read = [each["tally"] for each in spilled.values()]
        if self.plan.kind == "everything":
            return add([*read, *(unit["fresh"] for unit in units.values())])
        changed = add(unit["tally"] for unit in units.values())
        if self.plan.kind == "increment":
            return add([self._tally, *read, changed])
        # What a window leaves out is not known of the whole: as if the source had so many events more or less.
        return add([self._tally, {**changed, "read": changed["rows"], "dropped": 0}])

    def _removed(self, compared: Compared) -> dict[str, npt.NDArray[np.int64]]:
        import numpy as np

        from nbplat.remote.sequence.change_file import read_changes

        removed: dict[str, npt.NDArray[np.int64]] = {}
        for name, unit in sorted(compared.units.items()):
            told = unit["changes"]
            if not told["removed"] + told["changed"]:
                continue
            rows = read_changes(told["path"], self.scratch_storage)
            run, position = rows["run"].to_numpy(), rows["position"].to_numpy()
            for number, file in enumerate(self.tables.files(self.plan.index, int(name.rpartition("b")[2]))):
                gone = position[run == number]
                if len(gone):
                    removed[file.path] = np.concatenate([removed.get(file.path, gone[:0]), gone])
        return removed
