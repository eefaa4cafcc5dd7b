"""What training on staged columns costs, against reading the same columns from a table that has them already."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measure import Cost, Figure, cost_of, medians
from benchmarks.training_data import FIRST, Made, aligned_run, make_tables, metadata_only
from benchmarks.training_peers import peer_figures
from benchmarks.training_ray import BATCH_ROWS, platform_of, summed
from benchmarks.training_torch import tensor_figures
from nbplat.terms import StagedColumns, Window
from nbplat.training.join import JoinPlan, JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin

__all__ = ["measure"]

ROWS = int(os.environ.get("BENCH_TRAINING_ROWS", "10000000"))
# Ray's own join of more rows takes longer than the rest of the page; it joins the first day's then, and is compared
# with ours of the same rows.
PEER_ROWS = 10_000_000


class _Runs:
    """The ledger of the one run that this benchmark has staged."""

    def __init__(self, record: StagedColumns) -> None:
        self._record = record

    def staged_columns(self, run_id: str) -> StagedColumns:
        assert run_id == self._record.run_id
        return self._record


class _World:
    """The tables, and the three ways to read them through nbplat."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = platform_of(folder / "home")
        self.made: Made = make_tables(self.platform.catalog, ROWS)
        columns = {"a_score": "double", "b_ctr": "double", "b_cnt": "int", "b_age": "double"}
        self.run = aligned_run(
            self.platform.catalog, self.platform.join_source, self.made.base, columns, folder / "staged"
        )

    def plan(self, base: str, *stage: Stage, days: int = 0) -> JoinPlan:
        dates = Window.parse(str(FIRST), str(FIRST + dt.timedelta(days=days))) if days else Window()
        spec = JoinSpec(base, on=("request_id",), stage=stage, dates=dates)
        return plan_join(spec, self.platform.join_source, _Runs(self.run))

    @property
    def plans(self) -> dict[str, JoinPlan]:
        return {
            "promoted": self.plan(self.made.promoted),
            "aligned": self.plan(self.made.base, Stage("b@1")),
            "merged": self.plan(self.made.base, Stage(self.made.one), Stage(self.made.three)),
        }

    def files(self, table: str) -> list[str]:
        tasks = self.platform.catalog.load_table(table).scan().plan_files()
        return [task.file.file_path.removeprefix("file://") for task in tasks]


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        world = _World(Path(folder))
        figures = [*_reading(world), *_order(world), *_memory(world)]
        figures += [*tensor_figures(world.folder, world.plans, ROWS), *_peers(world)]
        world.platform.close()
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        return [*figures, _planning(Path(folder))]


def _reading(world: _World) -> list[Figure]:
    """CPU over the floor, and wall against engines that join whole tables; all give the same sums."""
    opened = {name: world.platform.open_join(plan) for name, plan in world.plans.items()}
    sums: dict[str, Any] = {}
    first: dict[str, list[float]] = {name: [] for name in opened}

    def through(name: str) -> Callable[[], None]:
        def work() -> None:
            batches = opened[name].batches(BATCH_ROWS)
            sums[name] = summed(batches)
            first[name].append(batches.counts.first_batch_s)

        return work

    promoted, aligned, merged = medians(*(through(name) for name in opened), runs=3)
    duckdb = cost_of(lambda: sums.update(duckdb=summed(_duckdb(world))))
    polars = cost_of(lambda: sums.update(polars=summed(_polars(world))))
    _same(sums)
    floor = f"the promoted table read by the same threads ({promoted})"
    what = f"{ROWS:,} rows x 20 columns, 4 staged"
    figures = [
        Figure(
            f"join by position, {what}: CPU over the promoted read",
            aligned.cpu_s / promoted.cpu_s,
            "x",
            1.05,
            "lower",
            floor,
            aligned.cpu_s,
            aligned.wall_s,
        ),
        Figure(
            f"join by key within buckets, {what}: CPU over the promoted read",
            merged.cpu_s / promoted.cpu_s,
            "x",
            1.25,
            "lower",
            floor,
            merged.cpu_s,
            merged.wall_s,
        ),
        Figure(
            f"join by key within buckets, {what}: first batch after the plan",
            max(first["merged"]),
            "s",
            0.5,
            "lower",
            "nothing",
            merged.cpu_s,
            merged.wall_s,
        ),
    ]
    for name, cost in (("DuckDB", duckdb), ("Polars", polars)):
        text = f"{name} joining the whole tables ({cost}, once)"
        figures.append(
            Figure(
                f"join by key, {what}: wall of {name} over ours",
                cost.wall_s / merged.wall_s,
                "x",
                None,
                "higher",
                text,
                merged.cpu_s,
                merged.wall_s,
            )
        )
    return figures


def _order(world: _World) -> list[Figure]:
    """What mixing costs, and going on in the middle."""
    opened = world.platform.open_join(world.plans["aligned"])

    def read(shuffle: str) -> Callable[[], int]:
        return lambda: sum(batch.num_rows for batch in opened.batches(BATCH_ROWS, shuffle=shuffle, seed=7))

    none, window = medians(read("none"), read("window"), runs=2)
    whole = [_digest(batch) for batch in opened.batches(BATCH_ROWS, shuffle="window", seed=7)]
    batches = opened.batches(BATCH_ROWS, shuffle="window", seed=7)
    for _, batch in zip(range(len(whole) // 2), batches, strict=False):
        assert batch.num_rows
    token = batches.state()
    again = opened.batches(BATCH_ROWS, resume=token)
    reading = iter(again)
    rest = [_digest(next(reading))]
    resumed = again.counts.first_batch_s
    rest += [_digest(batch) for batch in reading]
    assert whole[len(whole) // 2 :] == rest, "the batches after a resume differ"
    return [
        Figure(
            "window shuffle of 4 units: CPU over reading in order",
            window.cpu_s / none.cpu_s,
            "x",
            1.3,
            "lower",
            f"the same rows in the plan's order ({none})",
            window.cpu_s,
            window.wall_s,
        ),
        Figure(
            "resume in the middle: first batch, all following identical",
            resumed,
            "s",
            1.0,
            "lower",
            "nothing",
            window.cpu_s,
            window.wall_s,
        ),
    ]


def _memory(world: _World) -> list[Figure]:
    """Peak memory of a process of its own that joins by key, against four decoded units and 300 MB."""
    plan = world.plans["merged"]
    path = world.folder / "plan.json"
    path.write_text(json.dumps(plan.record()))
    figures = []
    for shuffle, words in (("none", "in the plan's order"), ("window", "windows of 4 units mixed")):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.training", str(world.folder / "home"), str(path), shuffle],
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        peak, before, decoded, rows = json.loads(done.stdout.splitlines()[-1])
        assert rows == plan.rows
        figures.append(
            Figure(
                f"join by key within buckets, {ROWS:,} rows, {words}: peak memory of the process",
                peak / 1e6,
                "MB",
                round(4 * decoded / 1e6 + 300),
                "lower",
                f"four units of {decoded / 1e6:.0f} MB and 300 MB; it had {before / 1e6:.0f} MB before it read",
                0.0,
                time.perf_counter() - started,
            )
        )
    return figures


def _peers(world: _World) -> list[Figure]:
    """The runners on Ray, Ray's own join and Spark's; of many rows Ray joins those of the first day."""
    made = world.made
    names = {"base": made.base, "one": made.one, "three": made.three}
    files = {name: world.files(table) for name, table in names.items()}
    part = world.plans["merged"]
    if ROWS > PEER_ROWS:
        part = world.plan(made.base, Stage(made.one), Stage(made.three), days=1)
        files = {name: [path for path in paths if f"dt={FIRST}" in path] for name, paths in files.items()}
    asked = {"plan": world.plans["merged"].record(), "part": part.record(), "files": files, "tables": names}
    promoted = summed(world.platform.open_join(world.plans["promoted"]).batches(BATCH_ROWS))
    return peer_figures(world.folder, asked, promoted, ROWS, _same)


def _planning(folder: Path) -> Figure:
    platform = platform_of(folder / "home")
    for name, value in (("m.base", "x"), ("m.a", "a"), ("m.b", "b")):
        metadata_only(platform.catalog, name, value, buckets=1024)
    spec = JoinSpec("m.base", on=("id",), stage=(Stage("m.a"), Stage("m.b")))
    plans: list[JoinPlan] = []
    cost: Cost = medians(lambda: plans.append(plan_join(spec, platform.join_source, platform.backfills)), runs=3)[0]
    assert len(plans[0].units) == 1024
    platform.close()
    return Figure(
        "plan of 1,024 buckets x 3 tables", cost.wall_s, "s", 3.0, "lower", "nothing", cost.cpu_s, cost.wall_s
    )


def _same(sums: dict[str, dict[str, float]]) -> None:
    expected = sums["promoted"]
    for name, found in sums.items():
        close = all(abs(found[each] - expected[each]) <= 1e-6 * max(abs(expected[each]), 1.0) + 0.01 for each in found)
        assert close, f"{name} gives {found}, the promoted table {expected}"


def _duckdb(world: _World) -> Any:
    import duckdb

    connection = duckdb.connect(config={"threads": os.cpu_count() or 1})
    base, one, three = (world.files(name) for name in (world.made.base, world.made.one, world.made.three))
    query = (
        f"SELECT b.*, a.a_score, c.b_ctr, c.b_cnt, c.b_age FROM read_parquet({base}) b"
        f" LEFT JOIN read_parquet({one}) a USING (request_id) LEFT JOIN read_parquet({three}) c USING (request_id)"
    )
    return connection.sql(query).to_arrow_reader(BATCH_ROWS)


def _polars(world: _World) -> Any:
    import polars as pl

    base, one, three = (
        pl.scan_parquet(world.files(name)) for name in (world.made.base, world.made.one, world.made.three)
    )
    joined = base.join(one.drop("dt"), on="request_id", how="left").join(three.drop("dt"), on="request_id", how="left")
    return joined.collect(engine="streaming").to_arrow().to_batches(BATCH_ROWS)


def _digest(batch: pa.RecordBatch) -> str:
    return hashlib.md5(batch.column("request_id").to_numpy().tobytes(), usedforsecurity=False).hexdigest()


def _child(home: str, plan: str, shuffle: str) -> None:
    """Join a plan, and tell peak memory, memory before reading, decoded bytes of the largest unit, and rows."""
    platform = platform_of(Path(home))
    loaded = JoinPlan.from_record(json.loads(Path(plan).read_text()))
    opened: OpenJoin = platform.open_join(loaded)
    before = _memory_of("VmRSS")
    rows = sum(batch.num_rows for batch in opened.batches(BATCH_ROWS, shuffle=shuffle, seed=7))
    peak = _memory_of("VmHWM")
    decoded = opened.read(max(loaded.units, key=lambda unit: unit.rows)).table.nbytes
    print(json.dumps([peak, before, decoded, rows]))
    platform.close()


def _memory_of(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    _child(*sys.argv[1:])
