"""A Ray cluster that loses a machine, or its memory, while a join is read; in processes and clusters of their own."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from nbplat.training.join import JoinSpec, Stage, plan_join
from tests.fixtures.lakehouse import Lake

pytestmark = pytest.mark.ray

_READ = """
import hashlib, json, os, pickle, sys, time
from pathlib import Path

import ray

from nbplat.adapters.ray.cluster import RaySettings
from nbplat.adapters.ray.pool import RayPool
from nbplat.errors import NbplatError
from nbplat.remote.failure import KernelError
from nbplat.training.join.shipped import pieces_of
from nbplat.remote.training.order import Order

folder = Path(sys.argv[1])
units = pickle.loads((folder / "units").read_bytes())
pool = RayPool(RaySettings("", threads=2, memory_bytes=1 << 30, bundle=lambda: ""), attempts=3)


class Held(dict):
    "The task of a unit that waits in its worker until that is ended; elsewhere than `where`, until one waits."

    def __init__(self, task, folder, where):
        super().__init__(task)
        self.folder, self.where = folder, where

    def __reduce__(self):
        return Held, (dict(self), self.folder, self.where)

    def __getitem__(self, name):
        context = ray.get_runtime_context()
        if name == "sides" and context.get_task_id() is not None:
            here = self.where in ("", context.get_node_id())
            if here:
                (Path(self.folder) / f"held-{os.getpid()}").touch()
            ended = time.monotonic() + 120
            while time.monotonic() < ended and (here or not list(Path(self.folder).glob("held-*"))):
                time.sleep(0.05)
        return super().__getitem__(name)


def rows(tables):
    return [row for table in tables for row in table.to_pylist()]


def until(there):
    ended = time.monotonic() + 100
    while not there():
        assert time.monotonic() < ended
        time.sleep(0.05)
"""

_LOST = (
    _READ
    + """
from concurrent.futures import ThreadPoolExecutor

from ray.cluster_utils import Cluster

small = {"object_store_memory": 80 << 20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **small})
ray.init(cluster.address, log_to_driver=False, logging_level="error")
for way in ("pool", "dataset"):
    lost = cluster.add_node(num_cpus=1, **small)
    until(lambda: ray.cluster_resources().get("CPU") == 2)
    held = [unit._replace(task=Held(unit.task, str(folder), lost.node_id)) for unit in units]

    def read():
        if way == "pool":
            with ThreadPoolExecutor(2) as threads:
                return rows(joined.table for joined in threads.map(pool.join, held))
        made = pool.dataset(pieces_of(held, Order("none"), 0))
        return rows(made.iter_batches(batch_size=None, batch_format="pyarrow"))

    with ThreadPoolExecutor(1) as aside:
        reading = aside.submit(read)
        until(lambda: list(folder.glob("held-*")) or reading.done())
        assert not reading.done()
        cluster.remove_node(lost, allow_graceful=False)
        got = reading.result(timeout=200)
    for path in folder.glob("held-*"):
        path.unlink()
    print(way, len(got), hashlib.sha256(json.dumps(got, default=str).encode()).hexdigest())
ray.shutdown()
cluster.shutdown()
"""
)

_FULL = (
    _READ
    + """
# Any use of memory at all is too much here: Ray's own monitor ends the worker, as it does on a machine that is full.
os.environ |= {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
ray.init(
    num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error", object_store_memory=80 << 20,
    _system_config={"task_oom_retries": 1},
)
try:
    pool.join(units[0]._replace(task=Held(units[0].task, str(folder), "")))
except KernelError as error:
    print(error.code, error, error.fix)
ray.shutdown()
"""
)


@pytest.fixture
def units(joins: Lake, tmp_path: Path) -> list[dict[str, object]]:
    """The rows as they are read here; the units lie pickled beside."""
    spec = JoinSpec("j.base", stage=(Stage("twice@1"),))
    with joins.platform.open_join(plan_join(spec, joins.platform.join_source, joins.backfills)) as opened:
        (tmp_path / "units").write_bytes(pickle.dumps(opened.shard(0, 1).units))
        return [row for batch in opened.batches(50) for row in batch.to_pylist()]


def _run(script: str, folder: Path) -> str:
    """In a process that this one's Ray is nothing to."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=environ,
    )
    assert 0 == done.returncode, done.stderr[-4000:]
    return done.stdout


def test_a_node_that_is_lost_costs_no_row(units: list[dict[str, object]], tmp_path: Path) -> None:
    """Its raylet is killed while it joins a unit: the other node joins it again, for the pool and for a dataset."""
    digest = hashlib.sha256(json.dumps(units, default=str).encode()).hexdigest()
    told = [line for line in _run(_LOST, tmp_path).splitlines() if line.startswith(("pool", "dataset"))]
    assert [f"pool 240 {digest}", f"dataset 240 {digest}"] == told


def test_a_worker_that_ray_ends_for_want_of_memory_is_named(units: list[dict[str, object]], tmp_path: Path) -> None:
    """Tried a bounded number of times; then the error says which unit, how large it is, and what makes it smaller."""
    told = next(line for line in _run(_FULL, tmp_path).splitlines() if line.startswith("memory.full"))
    assert "dt=2026-11-01" in told
    assert "MB decoded" in told
    assert "max_unit_bytes" in told
