"""Figures of the join on Ray and of what others make of the same join, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure

__all__ = ["peer_figures"]

_LIMIT_S = 900
_WAYS = {"worker": "a shard in a Ray worker", "dataset": "to_ray()", "pool": 'batches(runner="ray")'}


def peer_figures(
    folder: Path,
    asked: Mapping[str, Any],
    promoted: Mapping[str, float],
    rows: int,
    same: Callable[[dict[str, Any]], None],
) -> list[Figure]:
    """Run Ray's and Spark's processes, see that all give the same, and say how they compare.

    Args:
        folder: Holds ``home``.
        asked: For the children: ``plan``, ``part`` (plan of the rows that Ray joins itself), ``files``, ``tables``.
        promoted: Sums of the promoted table.
        rows: Of the whole tables.
        same: Raises when sums differ from those under ``promoted``.
    """
    request = folder / "asked.json"
    request.write_text(json.dumps(asked))
    ray, spark = (_child(f"benchmarks.training_{name}", folder / "home", request) for name in ("ray", "spark"))
    same({"promoted": promoted, **{name: ray[name]["sums"] for name in _WAYS}, "Spark": spark["shuffled"]["sums"]})
    same({"promoted": ray["part"]["sums"], "Ray's join": ray["join"]["sums"]})
    return [*_on_ray(ray, rows), *_over_ray(ray, rows), _over_spark(ray, spark, rows)]


def _child(module: str, home: Path, request: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, str(home), str(request)], capture_output=True, text=True, timeout=_LIMIT_S
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _on_ray(ray: Mapping[str, Any], rows: int) -> list[Figure]:
    """What our ways cost there."""
    figures = []
    for name, words in _WAYS.items():
        goal = 3.0 if name != "pool" else None
        figures.append(
            _figure(f"{words} of {rows:,} rows: first batch in a warm Ray", ray[name]["first_s"], "s", goal, ray[name])
        )
    figures.append(_figure("to_ray(): operators that are no read", ray["dataset"]["shuffled"], "", 0, ray["dataset"]))
    figures.append(_figure("to_ray(): bytes spilled", ray["dataset"]["spilled"], "B", 0, ray["dataset"]))
    for name in ("worker", "dataset"):
        peak = ray[name]["peak_bytes"] / 1e6
        figures.append(
            _figure(f"{_WAYS[name]}: memory of all processes over the idle Ray's", peak, "MB", None, ray[name])
        )
    return figures


def _over_ray(ray: Mapping[str, Any], rows: int) -> list[Figure]:
    """Rows a second, and CPU a row, against `Dataset.join`."""
    theirs, part = ray["join"], ray["part"]
    joined = int(theirs["sums"]["rows"])
    per_row = dict.fromkeys(_WAYS, rows) | {"part": joined}
    against = (
        f"Ray's Dataset.join, twice, of {joined:,} rows ({theirs['wall_s']:.1f} s wall, {theirs['cpu_s']:.1f} s CPU,"
        f" {theirs['peak_bytes'] / 1e6:,.0f} MB, {theirs['spilled'] / 1e6:,.0f} MB spilled)"
    )
    figures = []
    for name, words, wall, cpu in (
        ("part", "local threads", 20.0, 8.0),
        ("worker", _WAYS["worker"], 5.0, 2.5),
        ("dataset", _WAYS["dataset"], None, None),
    ):
        scale = joined / per_row[name]
        for what, goal in (("wall", wall), ("cpu", cpu)):
            ratio = theirs[f"{what}_s"] / (ray[name][f"{what}_s"] * scale)
            title = f"{words}: {'wall' if what == 'wall' else 'CPU'} of Ray's Dataset.join a row over ours"
            figures.append(_figure(title, ratio, "x", goal, ray[name], against, better="higher"))
    ratio = theirs["peak_bytes"] / max(part["peak_bytes"], 1)
    figures.append(
        _figure(
            "local threads: memory of Ray's Dataset.join over ours, each over what was there before",
            ratio,
            "x",
            8.0,
            part,
            against,
            better="higher",
        )
    )
    return figures


def _over_spark(ray: Mapping[str, Any], spark: Mapping[str, Any], rows: int) -> Figure:
    """The join in place counts where it gives all rows: with all columns asked for, Spark 4.1 was seen to give none."""
    scale = rows / ray["part"]["sums"]["rows"]
    wall_s = ray["part"]["wall_s"] * scale
    in_place, shuffled = spark["in_place"], spark["shuffled"]
    given = int(in_place["sums"]["rows"])
    whole = given == rows
    theirs = in_place if whole else shuffled
    words = (
        "storage-partitioned join, no exchange"
        if whole
        else f"sort-merge join, {shuffled['exchanges']} exchanges; its storage-partitioned join gave {given:,} rows"
    )
    return Figure(
        f"local threads, {rows:,} rows: wall of Spark's join of Iceberg tables over ours",
        theirs["wall_s"] / wall_s,
        "x",
        None,
        "higher",
        f"Spark 4.1 with Iceberg, {words} ({theirs['wall_s']:.1f} s wall, warm, once)",
        ray["part"]["cpu_s"] * scale,
        wall_s,
    )


def _figure(
    title: str,
    value: float,
    unit: str,
    goal: float | None,
    cost: Mapping[str, Any],
    against: str = "nothing",
    better: Any = "lower",
) -> Figure:
    return Figure(title, value, unit, goal, better, against, cost["cpu_s"], cost["wall_s"])
