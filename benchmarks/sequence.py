"""Last-N lists and as-of batches of 20 million events, against other ways and the physical floor."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, Figure, fresh_environ
from benchmarks.sequence_data import make_world

__all__ = ["measure"]

EVENTS, SPARK_EVENTS = 20_000_000, 2_000_000
_RUNS = {"pandas": 1, "duckdb": 1, "spark": 1, "pandas-as-of": 1, "duckdb-as-of": 1, "spark-as-of": 1}
_LIMIT_S = 3_600
_SHORT = 512 << 20


@dataclass(frozen=True, slots=True)
class Done:
    """What one way cost, and what came out.

    Attributes:
        peak_bytes: The most that the process held, libraries and the input included.
        found: Counts and sums of the result; empty for the floor.
    """

    cost: Cost
    peak_bytes: int
    found: Mapping[str, Any]


def measure(events: int = EVENTS) -> list[Figure]:
    """Every way in a process of its own, in turn; ways that are far slower are run once.

    Args:
        events: Of the large world; users are a twentieth of it, examples a tenth. Spark gets a tenth of it.

    Raises:
        AssertionError: two ways made different sequences.
    """
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        few = min(events // 10, SPARK_EVENTS)
        for path, count in ((large, events), (small, few)):
            path.mkdir()
            make_world(path, events=count, users=count // 20, examples=count // 10)
        last = _done(large, ("floor", "nbplat", "polars", "polars-sort", "numpy", "duckdb", "pandas"))
        as_of = _done(large, ("nbplat-as-of", "numpy-as-of", "polars-as-of", "duckdb-as-of", "pandas-as-of"))
        built = _done(large, ("nbplat-built",), memory=_SHORT)["nbplat-built"]
        _same({**last, "nbplat-built": built})
        _same(as_of)
        spark = _done(small, ("nbplat", "spark", "nbplat-as-of", "spark-as-of"))
        _same({name: spark[name] for name in ("nbplat", "spark")})
        _same({name: spark[name] for name in ("nbplat-as-of", "spark-as-of")})
    return _figures(events, few, last, as_of, built, spark)


def _figures(
    events: int,
    few: int,
    last: Mapping[str, Done],
    as_of: Mapping[str, Done],
    built: Done,
    spark: Mapping[str, Done],
) -> list[Figure]:
    ours, theirs = last["nbplat"], as_of["nbplat-as-of"]
    best = min(("polars", "polars-sort"), key=lambda way: last[way].cost.cpu_s)
    polars = f"Polars, {'group_by + sort_by + head' if best == 'polars' else 'sort, then group_by + head'}"
    text, asked = f"last 100 of {events:,} events, six lists", f"as of {events // 10:,} examples, padded batches"
    return [
        _over(f"{text}: CPU against Polars' best way", ours, last[best], polars, 1.0),
        _saved(f"{text}: CPU saved, DuckDB", ours, last["duckdb"], "DuckDB, list(… ORDER BY …)[1:100]", 5.0),
        _saved(f"{text}: CPU saved, pandas", ours, last["pandas"], "pandas, sort + head + agg(list)", 10.0),
        _over(f"{text}: CPU against numpy by hand", ours, last["numpy"], "argsort of packed keys + take"),
        _over(f"{text}: CPU against the floor", ours, last["floor"], "decode + sort as many integers + gather"),
        _memory(f"{text}: peak memory", ours, last[best], polars, 2.5),
        _memory(f"{text}: peak memory with 512 MB set, index built on disk", built, ours, "in memory", 1.0),
        _over(f"{asked}: CPU against numpy by hand", theirs, as_of["numpy-as-of"], "argsort + searchsorted + pad", 1.5),
        _saved(f"{asked}: CPU saved, Polars", theirs, as_of["polars-as-of"], "Polars, join_asof, padded by numpy"),
        _saved(f"{asked}: CPU saved, DuckDB", theirs, as_of["duckdb-as-of"], "DuckDB, a list a user, list_filter"),
        _saved(f"{asked}: CPU saved, pandas", theirs, as_of["pandas-as-of"], "pandas, merge_asof, padded by numpy"),
        _memory(f"{asked}: peak memory", theirs, as_of["numpy-as-of"], "numpy by hand"),
        _saved(
            f"last 100 of {few:,} events: CPU saved, Spark",
            spark["nbplat"],
            spark["spark"],
            "Spark local, window + collect_list, written to Parquet; a tenth of the events",
        ),
        _saved(
            f"as of {few // 10:,} examples of {few:,} events: CPU saved, Spark",
            spark["nbplat-as-of"],
            spark["spark-as-of"],
            "Spark local, one window over events and examples; a tenth of the events",
        ),
    ]


def _over(figure: str, ours: Done, peer: Done, against: str, goal: float | None = None) -> Figure:
    """Our CPU seconds over theirs."""
    ratio = ours.cost.cpu_s / peer.cost.cpu_s
    return Figure(figure, ratio, "x", goal, "lower", _told(peer, against), ours.cost.cpu_s, ours.cost.wall_s)


def _saved(figure: str, ours: Done, peer: Done, against: str, goal: float | None = None) -> Figure:
    """Their CPU seconds over ours."""
    ratio = peer.cost.cpu_s / ours.cost.cpu_s
    return Figure(figure, ratio, "x", goal, "higher", _told(peer, against), ours.cost.cpu_s, ours.cost.wall_s)


def _told(peer: Done, against: str) -> str:
    return f"{against} ({peer.cost}, {peer.peak_bytes / 1e9:.1f} GB)"


def _memory(figure: str, ours: Done, peer: Done, against: str, goal: float | None = None) -> Figure:
    told = f"{against} ({peer.peak_bytes / 1e9:.1f} GB)"
    return Figure(figure, ours.peak_bytes / 1e9, "GB", goal, "lower", told, ours.cost.cpu_s, ours.cost.wall_s)


def _done(folder: Path, ways: Sequence[str], *, runs: int = 3, memory: int | None = None) -> dict[str, Done]:
    """The ways in turn, so that a busy moment hits none alone; medians."""
    seen: dict[str, list[Done]] = {way: [] for way in ways}
    for number in range(runs):
        for way in ways:
            if number < (1 if memory else _RUNS.get(way, runs)):
                seen[way].append(_once(way, folder, memory))
                print(f"   {way}: {seen[way][-1].cost}, {seen[way][-1].peak_bytes / 1e9:.2f} GB", flush=True)
    found = {}
    for way, runs_of in seen.items():
        costs = [done.cost for done in runs_of]
        middle = Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))
        found[way] = Done(middle, max(done.peak_bytes for done in runs_of), runs_of[0].found)
    return found


def _once(way: str, folder: Path, memory: int | None) -> Done:
    environ = fresh_environ() | {"POLARS_MAX_THREADS": str(os.cpu_count() or 1)}
    if memory is not None:
        environ["SEQUENCE_MEMORY_BYTES"] = str(memory)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sequence_ways", way, str(folder)],
        env=environ,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{way} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Done(Cost(told["wall_s"], told["cpu_s"]), told["peak_bytes"], told["found"])


def _same(found: Mapping[str, Done]) -> None:
    """All ways made the same sequences."""
    results = {way: done.found for way, done in found.items() if done.found}
    first = next(iter(results.values()))
    for way, result in results.items():
        assert _close(first, result), f"{way} found {result}, {next(iter(results))} found {first}"


def _close(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Counts are equal; sums of floats up to the order in which they were added."""
    sums = zip(first.get("sums", ()), second.get("sums", ()), strict=True)
    counts = [{name: count for name, count in each.items() if name != "sums"} for each in (first, second)]
    return counts[0] == counts[1] and all(abs(one - two) <= 1e-6 * abs(one) for one, two in sums)


if __name__ == "__main__":
    # A try at another size, which writes nothing: python -m benchmarks.sequence --events 200000
    import argparse

    from benchmarks.measure import report

    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequence")
    parser.add_argument("--events", type=int, default=EVENTS)
    report(measure(parser.parse_args().events))
