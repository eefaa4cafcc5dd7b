"""What a run costs: plan, stage, publish, roll back."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, Figure, cost_of, medians
from benchmarks.start import state_folder
from benchmarks.wide_files import listed_table, wide_table

__all__ = ["SQL", "do_job", "measure"]

_LISTED = 10_000
_DEMO_ROWS = 400_000
_BIG_FILES, _BIG_ROWS = 8, 360_000

SQL = """
SELECT base.example_id, coalesce(sum(e.amount), 0) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON e.customer_id = base.customer_id AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id
"""


def measure() -> list[Figure]:
    figures: list[Figure] = []
    for part in (_plan, _stage_big_files, _stage_and_publish, _resume):
        with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
            figures += part(Path(folder))
    return figures


def _plan(folder: Path) -> list[Figure]:
    from nbplat.adapters.iceberg.tables import IcebergTables
    from nbplat.backfill.planning import build_plan
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.compose import open_platform

    platform = open_platform(state_folder(str(folder)))
    try:
        listed_table(platform.catalog, "wide.train", files=_LISTED, columns=20)
        spec = BackfillSpec.build("twice", "wide.train", "SELECT id, f000 * 2 AS twice FROM base", keys=("id",))
        engine, bodies = platform.backfills.engine, platform.backfills.bodies

        def plan() -> None:
            made = build_plan(spec, IcebergTables(platform.catalog), engine, bodies, memory_bytes=2 << 30)
            assert len(made.units) == _LISTED

        def listing() -> None:
            assert len(list(platform.catalog.load_table("wide.train").scan().plan_files())) == _LISTED

        listed, planned = medians(listing, plan)
    finally:
        platform.close()
    return [
        Figure(
            f"plan of {_LISTED} data files from metadata alone",
            planned.wall_s,
            "s",
            1.0,
            "lower",
            f"pyiceberg listing the same files ({listed})",
            planned.cpu_s,
            planned.wall_s,
        )
    ]


def _stage_big_files(folder: Path) -> list[Figure]:
    """A feature over base columns of big files: what a row costs, where the demo shows what a file costs."""
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.compose import open_platform

    platform = open_platform(state_folder(str(folder)))
    try:
        wide_table(platform.catalog, files=_BIG_FILES, rows=_BIG_ROWS, columns=20)
        sql = "SELECT id, CAST(f000 AS double) * 2 + CAST(f001 AS double) AS mixed FROM base"
        spec = BackfillSpec.build("mixed", "wide.train", sql, keys=("id",))
        plan = platform.backfills.plan(spec)

        def stage() -> Cost:
            assert platform.backfills.submit(spec, owner="bench", force_new=True).run is not None
            return _one_job(platform)

        stage()
        values = _staged_values(platform, "mixed")
        io, staged = medians(lambda: _read_and_write(platform, plan, values, folder / "floor"), stage, runs=3)
    finally:
        platform.close()
    return [_staging(f"{plan.rows} rows in {len(plan.units)} files", staged, io)]


def _staging(what: str, staged: Cost, io: Cost) -> Figure:
    return Figure(
        f"stage of {what}, CPU",
        staged.cpu_s / io.cpu_s,
        "x",
        1.5,
        "lower",
        f"Arrow reading the inputs and writing the outputs ({io})",
        staged.cpu_s,
        staged.wall_s,
    )


def _resume(folder: Path) -> list[Figure]:
    """A staging killed half way, gone on with by another process; against staging all of it."""
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.compose import open_platform

    platform = open_platform(state_folder(str(folder), {"limits.memory_bytes": 1}))
    try:
        platform.load_demo(rows=None)
        spec = BackfillSpec.build("spend_90d", "retail.train", SQL)
        units = len(platform.backfills.plan(spec).units)

        def whole() -> Cost:
            assert platform.backfills.submit(spec, owner="bench", force_new=True).run is not None
            return _one_job(platform)

        def second_half() -> Cost:
            assert platform.backfills.submit(spec, owner="bench", force_new=True).run is not None
            _stage_half(platform, units // 2)
            return _one_job(platform)

        full, rest = medians(whole, second_half, runs=3)
    finally:
        platform.close()
    return [
        Figure(
            f"staging killed after half of {units} files: CPU of the rest over half of all",
            rest.cpu_s / (full.cpu_s / 2),
            "x",
            None,
            "lower",
            f"staging all of them, a query a file ({full})",
            rest.cpu_s,
            rest.wall_s,
        )
    ]


def _stage_half(platform: Any, units: int) -> None:
    """Begin the newest staging job and die when so many units are done."""
    from nbplat.job import JobState, StepContext

    class Killed(BaseException):
        pass

    class Until(_Silent):
        def progress(self, progress: Any) -> None:
            if progress.done >= units:
                raise Killed

    while (job := platform.store.claim_job("bench", lease_ms=600_000)) is not None:
        if job.kind != "backfill.stage":
            done = platform.run_step(StepContext(job, f"{job.id}/{job.fence}", _Silent()))
            platform.settle(platform.store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result=done))
            continue
        with contextlib.suppress(Killed):
            platform.run_step(StepContext(job, f"{job.id}/{job.fence}", Until()))
        platform.store.release_job(job.id, job.fence)
        return


def _stage_and_publish(folder: Path) -> list[Figure]:
    figures = []
    for rows, name in ((None, "the retail sample"), (_DEMO_ROWS, f"the demo at {_DEMO_ROWS} rows")):
        place = folder / str(rows)
        place.mkdir()
        figures += _demo(place, rows, name)
    return figures


def _demo(folder: Path, rows: int | None, name: str) -> list[Figure]:
    from nbplat.backfill.run import Backfills
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.backfill.states import Step
    from nbplat.clock import SystemClock
    from nbplat.compose import Platform

    published: list[Cost] = []

    class Timed(Platform):
        @property
        def backfills(self) -> Backfills:
            real = super().backfills
            return replace(real, publisher=_TimedPublisher(real.publisher, published))

    platform = Timed(state_folder(str(folder)), SystemClock())
    runs: list[str] = []

    def stage() -> Cost:
        run = platform.backfills.submit(spec, owner="bench", force_new=True).run
        assert run is not None
        runs.append(run.id)
        return _one_job(platform)

    def floor() -> None:
        _read_and_write(platform, plan, values, folder / "floor")

    try:
        platform.config.home.mkdir(parents=True, exist_ok=True)
        platform.load_demo(rows=rows)
        spec = BackfillSpec.build("spend_90d", "retail.train", SQL)
        plan = platform.backfills.plan(spec)
        stage()
        values = _staged_values(platform, spec.name)
        io, staged = medians(floor, stage)
        figures = [_staging(f"{name} ({plan.rows} rows, {len(plan.units)} files)", staged, io)]
        if rows is None:
            # What is still queued: the audits of the staged runs.
            platform.work_here("bench")
            for run_id in runs[-3:]:
                for step in (Step.PROMOTE, Step.ROLLBACK):
                    platform.backfills.step(run_id, step, owner="bench")
                    platform.work_here("bench")
            figures.append(_publish(platform, sorted(published, key=lambda cost: cost.wall_s)[1], len(plan.units)))
    finally:
        platform.close()
    return figures


def _publish(platform: Any, cost: Cost, files: int) -> Figure:
    def two_commits() -> None:
        for number in range(2):
            table = platform.catalog.load_table("retail.train")
            with table.transaction() as transaction:
                transaction.set_properties({"bench": str(number)})

    [floor] = medians(two_commits)
    return Figure(
        f"commits of a promotion of {files} files: manifests, branch, main",
        cost.wall_s,
        "s",
        None,
        "lower",
        f"two commits of a table property ({floor})",
        cost.cpu_s,
        cost.wall_s,
    )


class _TimedPublisher:
    """Adds up what a landing's commits cost: the snapshot on the branch, and moving main."""

    def __init__(self, real: Any, seen: list[Cost]) -> None:
        self._real = real
        self._seen = seen
        self._put: list[Cost] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def put(self, *args: Any, **kwargs: Any) -> Any:
        told: list[Any] = []
        self._put.append(cost_of(lambda: told.append(self._real.put(*args, **kwargs))))
        return told[0]

    def publish(self, *args: Any, **kwargs: Any) -> Any:
        """Count the commit on the branch as well: together they are what a reader waits for."""
        told: list[Any] = []
        moved = cost_of(lambda: told.append(self._real.publish(*args, **kwargs)))
        put = self._put.pop()
        self._seen.append(replace(moved, cpu_s=moved.cpu_s + put.cpu_s, wall_s=moved.wall_s + put.wall_s))
        return told[0]


class _Silent:
    def progress(self, progress: Any) -> None:
        pass

    def log(self, text: str) -> None:
        pass

    def checkpoint(self) -> None:
        pass


def do_job(platform: Any) -> tuple[str, Cost]:
    """Do the oldest queued job, as a worker's child does; its kind and what it cost."""
    from nbplat.job import JobState, StepContext

    job = platform.store.claim_job("bench", lease_ms=600_000)
    assert job is not None, "no job was queued"
    context = StepContext(job, f"{job.id}/{job.fence}", _Silent())
    results: list[Any] = []
    cost = cost_of(lambda: results.append(platform.run_step(context)))
    platform.settle(platform.store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result=results[0]))
    return job.kind, cost


def _one_job(platform: Any) -> Cost:
    """Do jobs until a staging job was done."""
    while True:
        kind, cost = do_job(platform)
        if kind == "backfill.stage":
            return cost


def _staged_values(platform: Any, name: str) -> dict[str, Any]:
    """The new column's values by base file, in memory: what the floor writes, too."""
    import pyarrow.parquet as pq

    from nbplat.terms import local_path

    staged = platform.backfills.staged_columns(name)
    column = staged.columns[0][0]
    return {f.base_path: pq.read_table(local_path(f.path), columns=[column])[column] for f in staged.files}


def _read_and_write(platform: Any, plan: Any, values: dict[str, Any], out: Path) -> None:
    """The floor of staging: the same columns of the same files in, the same values out, nothing between."""
    import os

    import pyarrow.parquet as pq

    from nbplat.terms import local_path

    out.mkdir(exist_ok=True)
    for source in plan.sources:
        for task in platform.catalog.load_table(source.pin.table).scan().plan_files():
            pq.read_table(local_path(task.file.file_path), columns=list(source.columns), partitioning=None)
    kept: Callable[[str], bool] = lambda name: name in {*plan.keys, *plan.partition_columns}  # noqa: E731
    for unit in plan.units:
        rows = pq.read_table(local_path(unit.path), columns=list(plan.base_columns), partitioning=None)
        written = rows.select([name for name in plan.base_columns if kept(name)])
        written = written.append_column(plan.columns[0].name, values[unit.path])
        with (out / f"{unit.id}.parquet").open("wb") as file:
            pq.write_table(written, file, compression="zstd", write_page_index=True)
            file.flush()
            os.fsync(file.fileno())
