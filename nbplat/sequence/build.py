"""Build an index: deal the source's rows to buckets, sort bucket by bucket, publish all in one commit.

Workers only write files; the catalog is touched at the beginning, to make the table, and at the end. After a kill only
the units in flight are done again: finished ones stand in the ledger with their files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nbplat.job import StepContext
from nbplat.remote.sequence.direct import refuse_early
from nbplat.remote.sequence.scatter import scatter
from nbplat.remote.sequence.shard import shard
from nbplat.remote.sequence.tally import add
from nbplat.remote.sequence.tasks import ScatterTask, ShardTask
from nbplat.sequence.failures import our_errors
from nbplat.sequence.plan import SequencePlan
from nbplat.sequence.ports import EventSource, IndexFile, IndexTables
from nbplat.sequence.recipe import stored_schema_of
from nbplat.sequence.report import report_of
from nbplat.sequence.unit_steps import SpillSteps, of_bucket
from nbplat.terms import Files, Progress, SnapshotPin, content_hash, local_path

__all__ = ["STAGES", "Builder", "build_stem", "spill_root", "sweep_build"]

STAGES = ("scatter", "shard")
"""Last parts of the scopes of a build's units."""

_DIRECT = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder(SpillSteps):
    """Builds one index from nothing.

    Attributes:
        source: At the plan's pin.
    """

    plan: SequencePlan
    record: Mapping[str, Any]
    source: EventSource

    def run(self, context: StepContext, provenance: Mapping[str, str]) -> SnapshotPin:
        """Do every unit that is not done yet, then publish.

        Raises:
            NbplatError: the first unit's error, when units failed for good.
            Conflict: ``job.stopped``; ``index.moved``, something else was published meanwhile.
            JobPaused: a person asked to pause.
        """
        board = _Board(context, self.plan.units)
        spilled = {} if self.plan.direct else self._scatter(context, board)
        with our_errors():
            refuse_early(add(each["tally"] for each in spilled.values()), self.recipe)
        sharded = self._shard(context, board, spilled)
        files = tuple(IndexFile(**file) for _, unit in sorted(sharded.items()) for file in unit["files"])
        tally = add([*(each["tally"] for each in spilled.values()), *(each["tally"] for each in sharded.values())])
        size = sum(file.file_bytes for file in files)
        return self.tables.publish(
            self.plan.table,
            None,
            added=files,
            source=self.plan.source,
            report=report_of(tally, self.recipe, self.plan.source.name, size),
            summary=provenance,
            tag=f"nbplat-{context.job.run_id.replace('@', '-')}-{self.stem}",
        )

    def _scatter(self, context: StepContext, board: _Board) -> dict[str, Mapping[str, Any]]:
        parts = {part.id: part for part in self.source.parts}
        units = {unit.id: unit for unit in self.plan.scatter}

        def make(unit: str, fence: int) -> ScatterTask:
            return self.scatter_task(unit, fence, (parts[part].task for part in units[unit].parts))

        work = self.work(context, "scatter", "parts of the source")
        return work.run(self.farm, scatter, list(units), make, finished=board.scattered, known=board.known)

    def _shard(
        self, context: StepContext, board: _Board, spilled: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any]]:
        schema = stored_schema_of(self.recipe).serialize().to_pybytes()
        spills = [each["spill"] for _, each in sorted(spilled.items())]
        names = [_DIRECT] if self.plan.direct else [f"b{bucket:04d}" for bucket in range(self.plan.buckets)]
        folder, storage = self.tables.folder(self.plan.table), dict(self.tables.storage(self.plan.table))
        parts = [dict(part.task) for part in self.source.parts] if self.plan.direct else []

        def make(unit: str, fence: int) -> ShardTask:
            bucket = -1 if unit == _DIRECT else int(unit[1:])
            return ShardTask(
                unit=unit,
                fence=fence,
                stem=self.stem,
                bucket=bucket,
                spills=of_bucket(spills, bucket),
                parts=parts,
                recipe=self.recipe,
                stored=schema,
                spilled=dict(self.scratch_storage),
                out=folder,
                storage=storage,
                memory_bytes=self.memory_bytes if self.plan.direct else self.task_bytes,
            )

        work = self.work(context, "shard", "buckets")
        return work.run(self.farm, shard, names, make, finished=board.sharded, known=board.known)


class _Board:
    """What a person sees of a build while it runs."""

    def __init__(self, context: StepContext, units: int) -> None:
        self._report, self._units, self._done = context.report, units, 0

    def known(self, done: int) -> None:
        """Units that an earlier try has done."""
        self._done += done
        self._show()

    def scattered(self, unit: str, result: Mapping[str, Any]) -> None:
        rows = sum(result["spill"]["rows"])
        self._one(f"{unit}: {rows:,} events of {result['tally']['read']:,} rows dealt to buckets, {result['ms']} ms")

    def sharded(self, unit: str, result: Mapping[str, Any]) -> None:
        size = sum(file["file_bytes"] for file in result["files"])
        self._one(f"{unit}: {result['tally']['rows']:,} events sorted, {size:,} bytes, {result['ms']} ms")

    def _one(self, line: str) -> None:
        self._report.log(line)
        self._done += 1
        self._show()

    def _show(self) -> None:
        self._report.progress(Progress(self._done, self._units, "units"))


def build_stem(scope: str) -> str:
    """First part of the names of a job's files, of its units' scope alone.

    Two runs that build one index at a time never meet, nor do a build and a cancelled one before it, whose files may
    be removed much later.
    """
    return content_hash({"scope": scope})[:12]


def spill_root(tables: IndexTables, table: str) -> str:
    """Folder of spill files beside a table, where workers on other machines reach it."""
    return f"{tables.folder(table).rpartition('/')[0]}/spill"


def sweep_build(files: Files, scratch: str, folder: str | None, stem: str, keep: Collection[str]) -> None:
    """Remove the spill files of a build, and data files of its tries that were not published.

    Args:
        scratch: Folder of the spill files.
        folder: Of the table's data files; None: there is no table.
        keep: Locations that the table names.
    """
    for file in files.list(scratch):
        files.delete(file.location)
    if scratch.startswith(("/", "file:")):
        with suppress(OSError):
            local_path(scratch).rmdir()
    for file in files.list(folder) if folder is not None else ():
        if file.location.rpartition("/")[2].startswith(f"{stem}-") and file.location not in keep:
            files.delete(file.location)
