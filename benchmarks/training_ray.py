"""The join on Ray, in a process of its own: our three ways, and Ray's own join of the same tables."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from benchmarks.measure import cost_of
from benchmarks.process_tree import TreeWatch
from nbplat.compose import Platform, open_platform
from nbplat.config import load_config
from nbplat.training.join import JoinPlan

__all__ = ["BATCH_ROWS", "VALUES", "platform_of", "summed"]

BATCH_ROWS = 8192
VALUES = ("a_score", "b_ctr", "b_cnt", "b_age")


def platform_of(home: Path) -> Platform:
    """The platform of a bench's folder."""
    return open_platform(load_config({"home": str(home)}, environ={}, cwd=home.parent, user_file=home / "none"))


def summed(batches: Iterable[Any]) -> dict[str, float]:
    """Rows and sums of joined columns, which say whether two ways give the same."""
    total = dict.fromkeys(("rows", *VALUES, "f0"), 0.0)
    for batch in batches:
        total["rows"] += batch.num_rows
        for name in (*VALUES, "f0"):
            total[name] += pc.sum(batch.column(name)).as_py() or 0.0
    return {name: round(value, 2) for name, value in total.items()}


def _measured(work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What it says, and what that cost; ``spilled`` is the most that Ray held on disk meanwhile."""
    spilled = 0

    def look() -> None:
        nonlocal spilled
        spilled = max(spilled, _spilled_bytes())

    with TreeWatch(look) as watch:
        started = time.perf_counter()
        said = work()
        wall_s = time.perf_counter() - started
    return {**said, "wall_s": wall_s, "cpu_s": watch.cpu_s, "peak_bytes": watch.peak_bytes, "spilled": spilled}


def _timed(batches: Iterable[Any]) -> dict[str, Any]:
    """Sums, and the seconds to the first batch."""
    started = time.perf_counter()
    first: list[float] = []

    def noted() -> Iterable[Any]:
        for batch in batches:
            if not first:
                first.append(time.perf_counter() - started)
            yield batch

    return {"sums": summed(noted()), "first_s": first[0] if first else 0.0}


class _Reader:
    """What a rank of Ray Train is: a process that opens its shard and reads."""

    def ready(self) -> int:
        return os.getpid()

    def read(self, shard: Any) -> dict[str, Any]:
        return _timed(shard.batches(BATCH_ROWS))


def _ours(platform: Platform, plan: JoinPlan) -> dict[str, Any]:
    import ray

    opened = platform.open_join(plan)
    opened.start_ray()
    # A warm Ray: its workers have started and imported what they need.
    for _ in opened.batches(BATCH_ROWS, runner="ray"):
        break
    reader = ray.remote(num_cpus=1)(_Reader).remote()
    ray.get(reader.ready.remote())
    found = {"pool": _measured(lambda: _timed(opened.batches(BATCH_ROWS, runner="ray")))}
    found["worker"] = _measured(lambda: ray.get(reader.read.remote(opened.shard(0, 1))))  # type: ignore[no-any-return]
    ray.kill(reader)
    dataset = opened.to_ray()
    found["dataset"] = _measured(
        lambda: _timed(dataset.iter_batches(batch_size=BATCH_ROWS, batch_format="pyarrow", prefetch_batches=2))
    )
    found["dataset"]["shuffled"] = _shuffled(dataset.stats())
    return found


def _theirs(files: Mapping[str, list[str]]) -> dict[str, Any]:
    """`Dataset.join` twice, left, as its manual says."""
    parts = max(2 * (os.cpu_count() or 1), 8)
    base, one, three = (_read(files[name]) for name in ("base", "one", "three"))
    joined = base.join(one.drop_columns(["dt"]), "left_outer", parts, on=("request_id",)).join(
        three.drop_columns(["dt"]), "left_outer", parts, on=("request_id",)
    )
    return _measured(
        lambda: _timed(joined.iter_batches(batch_size=BATCH_ROWS, batch_format="pyarrow", prefetch_batches=2))
    )


def _read(paths: list[str]) -> Any:
    """Files as a dataset, one task a file: `read_parquet` of Ray 2.60 does not work without aiohttp."""
    import pyarrow.parquet as pq
    import ray.data

    rows = ray.data.from_items(paths, override_num_blocks=len(paths))
    return rows.map_batches(
        lambda batch: pq.ParquetFile(batch["item"][0].as_py()).read(), batch_size=1, batch_format="pyarrow"
    )


def _shuffled(stats: str) -> int:
    """Operators that are no read."""
    names = [line for line in stats.splitlines() if line.startswith("Operator")]
    return sum("ReadTrainingJoin" not in line for line in names)


def _spilled_bytes() -> int:
    """Bytes that this cluster holds on disk for want of memory."""
    import ray

    if not ray.is_initialized():
        return 0
    session = Path(ray.get_runtime_context().get_temp_dir()) / "session_latest"
    total = 0
    for path in session.glob("ray_spilled_objects*/**/*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def main(home: str, asked: str) -> None:
    """Measure, and print one line of JSON."""
    wanted = json.loads(Path(asked).read_text())
    platform = platform_of(Path(home))
    opened = platform.open_join(JoinPlan.from_record(wanted["part"]))
    # First, so that its memory is not what the others have left to this process. Its time is that of a second pass that
    # nobody watches: the watcher is a thread, and the join's own threads would wait for it.
    first = _measured(lambda: _timed(opened.batches(BATCH_ROWS)))
    cost = cost_of(lambda: _timed(opened.batches(BATCH_ROWS)))
    found = {
        "part": {**first, "wall_s": cost.wall_s, "cpu_s": cost.cpu_s},
        **_ours(platform, JoinPlan.from_record(wanted["plan"])),
    }
    found["join"] = _theirs(wanted["files"])
    platform.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
