"""What a piece of work costs: wall and CPU seconds, medians of interleaved runs."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["RUNS", "Cost", "Figure", "cost_of", "fresh", "fresh_environ", "medians", "report"]

RUNS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds.

    Attributes:
        cpu_s: User and system time of this process and of the children it waited for. What the kernel
            writes back later is nobody's.
    """

    wall_s: float
    cpu_s: float

    def minus(self, floor: Cost) -> Cost:
        """What it costs over a floor; never below zero."""
        return Cost(max(0.0, self.wall_s - floor.wall_s), max(0.0, self.cpu_s - floor.cpu_s))

    def __str__(self) -> str:
        return f"{_text(self.wall_s)} wall, {_text(self.cpu_s)} CPU"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a results file.

    Attributes:
        value: In `unit`: a ratio (``x``) or an amount.
        goal: In the same unit; None where nothing was promised and the figure is only watched.
        better: Which way is better.
        against: The floor or the peer of the same run, with what it cost.
        cpu_s, wall_s: Of the work itself: of one run of all of it, unless the figure says otherwise.
    """

    figure: str
    value: float
    unit: str
    goal: float | None
    better: Literal["lower", "higher"]
    against: str
    cpu_s: float
    wall_s: float

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    def record(self) -> dict[str, Any]:
        """The JSON form, rounded to what a measurement can say."""
        rounded = {"value": _round(self.value), "cpu_s": _round(self.cpu_s), "wall_s": _round(self.wall_s)}
        return {**asdict(self), **rounded}


def cost_of(work: Callable[[], Any]) -> Cost:
    """Do it once."""
    return _cost_and_value(work)[0]


def medians(*works: Callable[[], Any], runs: int = RUNS, warm_up: int = 1) -> list[Cost]:
    """Do all of them in turn, again and again, so that a busy moment hits none alone; the median of each.

    Args:
        works: Each is done ``warm_up + runs`` times. One that returns a `Cost` is taken at its word.
    """
    seen: list[list[Cost]] = [[] for _ in works]
    for number in range(warm_up + runs):
        for work, costs in zip(works, seen, strict=True):
            around, told = _cost_and_value(work)
            if number >= warm_up:
                costs.append(told if isinstance(told, Cost) else around)
    return [
        Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs)) for costs in seen
    ]


def fresh_environ() -> dict[str, str]:
    """This environment without what would make a child slower (no bytecode kept) or another (``NBPLAT_*``)."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    return {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("NBPLAT_")}


def fresh(setup: str, work: str) -> Cost:
    """The cost of `work` inside a fresh interpreter, after `setup`."""
    code = (
        f"{setup}\nimport time as _t\n_c, _w = _t.process_time(), _t.perf_counter()\n{work}\n"
        "import sys as _s, json as _j\n"
        "_s.stderr.write('\\ncost=' + _j.dumps([_t.perf_counter() - _w, _t.process_time() - _c]) + '\\n')"
    )
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            # Nobody's profile and history: a shell starts as on a new machine.
            env=fresh_environ() | {"IPYTHONDIR": folder},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return Cost(*json.loads(done.stderr.partition("cost=")[2].splitlines()[0]))


def report(figures: Sequence[Figure]) -> None:
    """Print one line a figure."""
    for figure in figures:
        goal = "" if figure.goal is None else f" (goal {figure.goal:g}, {'met' if figure.met else 'MISSED'})"
        print(f"{figure.figure}: {_round(figure.value):g} {figure.unit}{goal}, against {figure.against}", flush=True)


def _cost_and_value(work: Callable[[], Any]) -> tuple[Cost, Any]:
    cpu, wall = _cpu_s(), time.perf_counter()
    value = work()
    return Cost(time.perf_counter() - wall, _cpu_s() - cpu), value


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _text(seconds: float) -> str:
    return f"{_round(seconds):g} s" if seconds >= 1 else f"{_round(seconds * 1000):g} ms"
