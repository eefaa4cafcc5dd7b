"""benchmarks/RESULTS.md from the results files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure

__all__ = ["FOLDER", "MACHINE", "PAGE", "read_figures", "results_page"]

FOLDER = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("RESULTS.md")
MACHINE = "machine.json"
"""Beside the areas' files: when and on what each area was measured."""

_HEAD = """# Results

<!-- Written by `python -m benchmarks` from benchmarks/results; edits here are lost. -->

Medians of interleaved runs, bytecode kept, after a warm-up; [how to read them](README.md). CPU seconds stand beside
wall seconds because the machine is shared: a wall figure taken under load says less than its CPU figure.
"""


def read_figures(folder: Path = FOLDER) -> dict[str, list[Figure]]:
    """Every area's figures, by area."""
    files = sorted(path for path in folder.glob("*.json") if path.name != MACHINE)
    return {path.stem: [Figure(**record) for record in json.loads(path.read_text())] for path in files}


def results_page(folder: Path = FOLDER) -> str:
    """The whole page, ending with a newline."""
    machine: dict[str, Any] = {}
    if (folder / MACHINE).exists():
        machine = json.loads((folder / MACHINE).read_text())
    lines = [_HEAD]
    areas = read_figures(folder)
    missed = [(area, figure) for area, figures in areas.items() for figure in figures if figure.met is False]
    if missed:
        lines += ["Goals missed in this run: " + "; ".join(f"{f.figure} ({area})" for area, f in missed) + ".", ""]
    for area, figures in areas.items():
        lines += [f"## {area}", ""]
        if area in machine:
            lines += [f"{machine[area]}", ""]
        lines += [
            "| figure | value | goal | met | against | CPU s | wall s |",
            "| --- | ---: | ---: | --- | --- | ---: | ---: |",
        ]
        lines += [_row(figure) for figure in figures] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _row(figure: Figure) -> str:
    sign = "≤" if figure.better == "lower" else "≥"
    goal = "" if figure.goal is None else f"{sign} {figure.goal:g}"
    met = {None: "watched", True: "yes", False: "**no**"}[figure.met]
    cells = [figure.figure, f"{figure.value:g} {figure.unit}", goal, met, figure.against]
    return "| " + " | ".join([*cells, f"{figure.cpu_s:g}", f"{figure.wall_s:g}"]) + " |"
