"""Joined rows as PyTorch's tensors, against the same from the promoted table; in an environment that has PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, medians
from benchmarks.training_ray import BATCH_ROWS, platform_of
from nbplat.training.join import JoinPlan

__all__ = ["tensor_figures"]

ROOT = Path(__file__).resolve().parents[1]
_RUNS = 3


def tensor_figures(folder: Path, plans: Mapping[str, JoinPlan], rows: int) -> list[Figure]:
    """Rows a second of each way over the promoted table's; empty where no environment with PyTorch was made."""
    python = ROOT / "build" / "torch" / "bin" / "python"
    if not python.exists():
        print("tensors: not measured, there is no PyTorch; `sh scripts/apart.sh torch` brings it", flush=True)
        return []
    asked = folder / "tensors.json"
    asked.write_text(json.dumps({name: plan.record() for name, plan in plans.items()}))
    done = subprocess.run(
        [python, "-m", "benchmarks.training_torch", str(folder / "home"), str(asked)],
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    took: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    floor = took["promoted"]
    against = f"the promoted table as tensors ({rows / floor['wall_s'] / 1e6:.2f} M rows/s)"
    words = {"aligned": "by position", "merged": "by key within buckets"}
    return [
        Figure(
            f"join {words[name]} as PyTorch's tensors: rows a second over the promoted table's",
            floor["wall_s"] / took[name]["wall_s"],
            "x",
            0.9,
            "higher",
            against,
            took[name]["cpu_s"],
            took[name]["wall_s"],
        )
        for name in words
    ]


def _child(home: str, asked: str) -> None:
    """Read each plan as tensors, by turns, and tell what that took."""
    platform = platform_of(Path(home))
    plans = {name: JoinPlan.from_record(each) for name, each in json.loads(Path(asked).read_text()).items()}
    opened = {name: platform.open_join(plan) for name, plan in plans.items()}

    def through(name: str) -> Callable[[], None]:
        def work() -> None:
            rows = 0
            for batch in opened[name].batches(BATCH_ROWS, format="torch"):
                rows += _rows(batch)
            assert rows == plans[name].rows

        return work

    costs = medians(*(through(name) for name in opened), runs=_RUNS)
    print(json.dumps({name: {"wall_s": c.wall_s, "cpu_s": c.cpu_s} for name, c in zip(opened, costs, strict=True)}))
    platform.close()


def _rows(batch: Mapping[str, Any]) -> int:
    return int(next(iter(batch.values())).shape[0])


if __name__ == "__main__":
    _child(*sys.argv[1:])
