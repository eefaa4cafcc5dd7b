"""What building, amending and compacting an index share: where their units run, and what a unit is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.job import JobStore, StepContext
from nbplat.job.farm import Farm
from nbplat.job.unit_work import UnitWork
from nbplat.remote.sequence.tasks import Recipe, ScatterTask
from nbplat.sequence.ports import IndexTables

__all__ = ["SpillSteps", "UnitSteps", "of_bucket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSteps:
    """Units of one index.

    Attributes:
        scope: First part of the units' scopes in the ledger; another for every plan and snapshot.
        stem: First part of the names of the files, of this run and plan alone.
        memory_bytes: What the tasks of this machine may hold together.
        lease_ms, max_attempts: Of a unit.
        retry: Command that goes on.
    """

    recipe: Recipe
    tables: IndexTables
    farm: Farm
    store: JobStore
    scope: str
    stem: str
    memory_bytes: int
    lease_ms: int
    max_attempts: int
    retry: str

    @property
    def task_bytes(self) -> int:
        """What one task may hold."""
        return self.memory_bytes // max(self.farm.slots, 1) if self.farm.name == "local" else self.memory_bytes

    def work(self, context: StepContext, stage: str, what: str) -> UnitWork:
        """The units of a stage; `what` they are, for progress."""
        return UnitWork(
            store=self.store,
            context=context,
            scope=f"{self.scope}/{stage}",
            lease_ms=self.lease_ms,
            max_attempts=self.max_attempts,
            what=what,
            retry=self.retry,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillSteps(UnitSteps):
    """Units that hand rows on in spill files.

    Attributes:
        scratch: Folder for spill files that every worker reaches; a location.
        scratch_storage: Options to open it with.
    """

    scratch: str
    scratch_storage: Mapping[str, str]

    def scatter_task(self, unit: str, fence: int, parts: Iterable[Mapping[str, Any]]) -> ScatterTask:
        """Deal rows of the source to buckets."""
        return ScatterTask(
            unit=unit,
            fence=fence,
            parts=[dict(part) for part in parts],
            recipe=self.recipe,
            out=self.scratch,
            storage=dict(self.scratch_storage),
            memory_bytes=self.task_bytes,
        )


def of_bucket(spills: Iterable[Mapping[str, Any]], bucket: int) -> list[dict[str, Any]]:
    """What the spill files hold of a bucket, of those that hold any."""
    return [
        {
            "path": spill["path"],
            "rounds": spill["rounds"],
            "rows": spill["rows"][bucket],
            "bytes": spill["bytes"][bucket],
        }
        for spill in spills
        if spill["rows"][bucket]
    ]
