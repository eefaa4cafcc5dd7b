"""Compact an index: buckets of many runs, or with many removed rows, are written as one file again.

What the index says does not change, and older snapshots keep their files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nbplat.job import StepContext
from nbplat.remote.sequence.compact import compact
from nbplat.remote.sequence.tasks import CompactTask
from nbplat.sequence.ports import IndexFile, IndexState
from nbplat.sequence.recipe import stored_schema_of
from nbplat.sequence.unit_steps import UnitSteps
from nbplat.terms import SnapshotPin

__all__ = ["MOST_RUNS", "Compactor", "crowded"]

MOST_RUNS = 8
"""Files that a bucket may have before it is compacted."""

_MOST_REMOVED, _REMOVED_ROWS = 0.25, 10_000
"""Removed rows that a bucket may have: a share of its rows, or so many."""


def crowded(files: Sequence[IndexFile]) -> tuple[int, ...]:
    """Buckets to compact: of more than `MOST_RUNS` files, or with over a quarter of their rows removed."""
    by_bucket: dict[int, list[IndexFile]] = defaultdict(list)
    for file in files:
        by_bucket[file.bucket].append(file)
    return tuple(bucket for bucket, found in sorted(by_bucket.items()) if _crowded(found))


def _crowded(files: Sequence[IndexFile]) -> bool:
    removed = sum(file.deleted for file in files)
    return len(files) > MOST_RUNS or removed > max(_REMOVED_ROWS, _MOST_REMOVED * sum(file.rows for file in files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compactor(UnitSteps):
    """Compacts buckets of one index.

    Attributes:
        state: The index as it is.
    """

    state: IndexState

    def run(
        self, context: StepContext, buckets: Sequence[int], provenance: Mapping[str, str], tag: str | None = None
    ) -> SnapshotPin:
        """Write the buckets anew and publish them in one commit.

        Raises:
            NbplatError: the first unit's error, when units failed for good.
            Conflict: ``job.stopped``; ``index.moved``.
            JobPaused: a person asked to pause.
        """
        pin, schema = self.state.pin, stored_schema_of(self.recipe).serialize().to_pybytes()
        folder, storage = self.tables.folder(pin.table), dict(self.tables.storage(pin.table))

        def make(unit: str, fence: int) -> CompactTask:
            bucket = int(unit[1:])
            return CompactTask(
                unit=unit,
                fence=fence,
                stem=self.stem,
                bucket=bucket,
                runs=[dict(part.task) for part in self.tables.parts(pin, bucket)],
                recipe=self.recipe,
                stored=schema,
                out=folder,
                storage=storage,
                memory_bytes=self.task_bytes,
            )

        work = self.work(context, "compact", "buckets")
        units = work.run(self.farm, compact, [f"c{bucket:04d}" for bucket in buckets], make)
        done = [unit for _, unit in sorted(units.items())]
        added = tuple(IndexFile(**file) for unit in done for file in unit["files"])
        replaced = [path for unit in done for path in unit["replaced"]]
        report, source = self.state.report, self.state.source
        assert report is not None  # noqa: S101 - who compacts has looked at its files
        assert source is not None  # noqa: S101
        left = sum(file.file_bytes for file in self.tables.files(pin) if file.path not in set(replaced))
        return self.tables.publish(
            pin.table,
            pin.snapshot_id,
            added=added,
            replaced=replaced,
            source=source,
            report=replace(report, bytes=left + sum(file.file_bytes for file in added)),
            summary=provenance,
            tag=tag,
        )
