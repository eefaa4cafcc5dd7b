"""Measure areas and write what was seen: ``python -m benchmarks [area …]``."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from benchmarks.measure import Figure, fresh_environ, report
from benchmarks.results_page import FOLDER, MACHINE, PAGE, results_page

AREAS = ("start", "promote", "backfill", "spark", "service", "sequence", "environment", "gateway", "lab", "training")
"""What is measured, with results that are kept."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("area", nargs="*", help=f"{', '.join(AREAS)}; none means all")
    asked = parser.parse_args(arguments).area or AREAS
    if unknown := [area for area in asked if area not in AREAS]:
        parser.error(f"{unknown[0]!r} is no area; there are {', '.join(AREAS)}")
    # Before anything is started from here: every process of ours inherits it.
    kept = fresh_environ()
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    FOLDER.mkdir(exist_ok=True)
    missed = 0
    for area in asked:
        print(f"== {area}", flush=True)
        load = os.getloadavg()[0]
        figures: list[Figure] = import_module(f"benchmarks.{area}").measure()
        report(figures)
        _write(area, figures, load)
        missed += sum(figure.met is False for figure in figures)
    PAGE.write_text(results_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}; {missed} goals missed")
    return 0


def _write(area: str, figures: Sequence[Figure], load: float) -> None:
    records = [figure.record() for figure in figures]
    (FOLDER / f"{area}.json").write_text(json.dumps(records, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    machine = json.loads((FOLDER / MACHINE).read_text()) if (FOLDER / MACHINE).exists() else {}
    parts = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "duckdb", "pyiceberg"))
    machine[area] = (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load average {load:.1f} before and {os.getloadavg()[0]:.1f} after (its own work included), "
        f"Python {platform.python_version()}, {parts}."
    )
    text = json.dumps(machine, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (FOLDER / MACHINE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
