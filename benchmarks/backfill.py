"""What a column costs: splice, plan, stage, publish."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, Figure, cost_of, medians
from benchmarks.start import state_folder
from benchmarks.wide_files import FIELD_ID, Pair, copy_files, decode_join_encode, listed_table, make_pairs

__all__ = ["SQL", "measure"]

_COLUMNS = 100
_LAYOUTS = ((1, 2_900_000), (8, 360_000))
"""Files and rows a file: about 500 MB as the one file that Iceberg's writers aim at, and as eight small ones."""
_LISTED = 10_000
_DEMO_ROWS = 400_000

SQL = """
SELECT base.example_id, coalesce(sum(e.amount), 0) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON e.customer_id = base.customer_id AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id
"""


def measure() -> list[Figure]:
    figures: list[Figure] = []
    for part in (_splice, _footers, _plan, _stage_and_publish):
        with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
            figures += part(Path(folder))
    return figures


def _splice(folder: Path) -> list[Figure]:
    figures: list[Figure] = []
    for files, rows in _LAYOUTS:
        place = folder / str(files)
        out = place / "out"
        out.mkdir(parents=True)
        pairs = make_pairs(place, files=files, rows=rows, columns=_COLUMNS)
        figures += _splice_layout(pairs, out)
        shutil.rmtree(place)
    return figures


def _splice_layout(pairs: list[Pair], out: Path) -> list[Figure]:
    copied, spliced = medians(lambda: copy_files(pairs, out), lambda: _splice_all(pairs, out))
    [encoded] = medians(lambda: decode_join_encode(pairs, out), runs=2, warm_up=0)
    size = sum(pair.base.stat().st_size for pair in pairs) / 1e6
    count = f"{len(pairs)} file{'s' if len(pairs) > 1 else ''}"
    what = f"splice of {size:.0f} MB in {count}"
    copy_text = f"copy_file_range and fsync of the same bytes ({copied})"
    arrow_text = f"Arrow decode, join and encode of the same files ({encoded}, median of 2)"
    cost = (spliced.cpu_s, spliced.wall_s)
    return [
        Figure(f"{what}, wall over copying", spliced.wall_s / copied.wall_s, "x", 1.2, "lower", copy_text, *cost),
        Figure(f"{what}, CPU over copying", spliced.cpu_s / copied.cpu_s, "x", 1.2, "lower", copy_text, *cost),
        Figure(f"{what}, CPU saved", encoded.cpu_s / spliced.cpu_s, "x", 20, "higher", arrow_text, *cost),
    ]


def _splice_all(pairs: list[Pair], out: Path) -> None:
    from nbplat.adapters.files.local import LocalFiles
    from nbplat.adapters.parquet.splice import splice
    from nbplat.backfill.ports import Addition

    for pair in pairs:
        target = out / pair.base.name
        target.unlink(missing_ok=True)
        splice(LocalFiles(), str(pair.base), [Addition(str(pair.staged), {"feature": FIELD_ID})], str(target))


def _footers(folder: Path) -> list[Figure]:
    import pyarrow.parquet as pq

    from nbplat.adapters.parquet.footer import encode, read_footer

    figures = []
    for columns in (100, 1000):
        place = folder / str(columns)
        place.mkdir()
        [pair] = make_pairs(place, files=1, rows=100, columns=columns)

        def there_and_back(pair: Pair = pair) -> None:
            for _ in range(10):
                with pair.base.open("rb") as file:
                    encode(read_footer(file, "").metadata)

        def by_arrow(pair: Pair = pair) -> None:
            for _ in range(10):
                pq.read_metadata(pair.base).to_dict()

        ours, arrow = medians(there_and_back, by_arrow)
        figures.append(
            Figure(
                f"footer of {columns} columns, read and written again",
                ours.wall_s / 10 * 1000,
                "ms",
                None,
                "lower",
                f"Arrow reading it into a dict ({Cost(arrow.wall_s / 10, arrow.cpu_s / 10)})",
                ours.cpu_s / 10,
                ours.wall_s / 10,
            )
        )
    return figures


def _plan(folder: Path) -> list[Figure]:
    from nbplat.adapters.iceberg.tables import IcebergTables
    from nbplat.backfill.plan import build_plan
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
        _read_and_write(platform, plan, folder / "floor")

    try:
        platform.config.home.mkdir(parents=True, exist_ok=True)
        platform.load_demo(rows=rows)
        spec = BackfillSpec.build("spend_90d", "retail.train", SQL)
        plan = platform.backfills.plan(spec)
        io, staged = medians(floor, stage)
        figures = [
            Figure(
                f"stage of {name} ({plan.rows} rows, {len(plan.units)} files), CPU",
                staged.cpu_s / io.cpu_s,
                "x",
                1.5,
                "lower",
                f"Arrow reading the inputs and writing the outputs ({io})",
                staged.cpu_s,
                staged.wall_s,
            )
        ]
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
        f"publish of {files} spliced files: manifests, branch, byte check, main",
        cost.wall_s,
        "s",
        None,
        "lower",
        f"two commits of a table property ({floor})",
        cost.cpu_s,
        cost.wall_s,
    )


class _TimedPublisher:
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


def _one_job(platform: Any) -> Cost:
    """Take the newest run's staging job and do it, as a worker's child does."""
    from nbplat.job import JobState, StepContext

    while (job := platform.store.claim_job("bench", lease_ms=600_000)) is not None:
        context = StepContext(job, f"{job.id}/{job.fence}", _Silent())
        results: list[Any] = []

        def work(context: Any = context, results: list[Any] = results) -> None:
            results.append(platform.run_step(context))

        cost = cost_of(work)
        platform.settle(platform.store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result=results[0]))
        if job.kind == "backfill.stage":
            return cost
    raise AssertionError("no staging job was queued")


def _read_and_write(platform: Any, plan: Any, out: Path) -> None:
    """The floor of staging: the same columns of the same files in, the same columns out, nothing between."""
    import os

    import pyarrow as pa
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
        written = written.append_column("spend_90d", pa.array([0.5] * rows.num_rows))
        with (out / f"{unit.id}.parquet").open("wb") as file:
            pq.write_table(written, file, compression="zstd", write_page_index=True)
            file.flush()
            os.fsync(file.fileno())
