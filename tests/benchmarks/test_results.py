"""The results files have their form, and RESULTS.md is made from them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import AREAS
from benchmarks.measure import Cost, Figure, medians
from benchmarks.results_page import FOLDER, MACHINE, PAGE, read_figures, results_page

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {
    "figure": str,
    "value": (int, float),
    "unit": str,
    "goal": (int, float, type(None)),
    "better": str,
    "against": str,
    "cpu_s": (int, float),
    "wall_s": (int, float),
}


@pytest.mark.parametrize("area", AREAS)
def test_every_area_has_results_of_the_form(area: str) -> None:
    """Each record has the eight fields with their types, a peer, and a better way."""
    records = json.loads((FOLDER / f"{area}.json").read_text(encoding="utf-8"))
    assert records
    for record in records:
        assert FIELDS.keys() == record.keys()
        assert [] == [name for name, kind in FIELDS.items() if not isinstance(record[name], kind)]
        assert record["better"] in ("lower", "higher")
        assert record["against"]
        assert min(record["value"], record["cpu_s"], record["wall_s"]) >= 0


def test_no_result_stands_twice_or_without_an_area() -> None:
    """A figure's name is its own within its area, and every file belongs to an area that can be measured."""
    figures = read_figures()
    assert set(AREAS) == set(figures)
    for area, found in figures.items():
        assert len(found) == len({figure.figure for figure in found}), area


def test_the_page_is_made_from_the_results() -> None:
    """benchmarks/RESULTS.md is what the results files give; `make bench` writes it."""
    assert results_page() == PAGE.read_text(encoding="utf-8")


def test_the_page_tells_the_load_of_the_machine() -> None:
    """Each area says when and under which load it was measured."""
    machine = json.loads((FOLDER / MACHINE).read_text(encoding="utf-8"))
    assert set(AREAS) == set(machine)
    assert [] == [area for area, text in machine.items() if "load average" not in text]


def test_a_missed_goal_is_shown(tmp_path: Path) -> None:
    """A figure beyond its goal is named above the tables and marked in its row; one without a goal is watched."""
    figures = [
        Figure("slow", 2.0, "x", 1.2, "lower", "a floor", 1.0, 1.0),
        Figure("saved", 30.0, "x", 20, "higher", "a peer", 1.0, 1.0),
        Figure("seen", 3.0, "ms", None, "lower", "a peer", 0.003, 0.003),
    ]
    (tmp_path / "toy.json").write_text(json.dumps([figure.record() for figure in figures]))
    page = results_page(tmp_path)
    assert "Goals missed in this run: slow (toy)." in page
    assert "| slow | 2 x | ≤ 1.2 | **no** | a floor | 1 | 1 |" in page
    assert "| saved | 30 x | ≥ 20 | yes | a peer | 1 | 1 |" in page
    assert "| seen | 3 ms |  | watched | a peer | 0.003 | 0.003 |" in page


def test_works_are_done_in_turn_and_the_median_counts() -> None:
    """Works alternate, the warm-up does not count, and a work that returns its cost is taken at its word."""
    order: list[str] = []
    costs = iter([Cost(9, 9), Cost(1, 1), Cost(3, 3), Cost(2, 2)])

    def told() -> Cost:
        order.append("a")
        return next(costs)

    first, _ = medians(told, lambda: order.append("b"), runs=3)

    assert Cost(2, 2) == first
    assert ["a", "b"] * 4 == order


def test_an_unknown_area_is_refused() -> None:
    """`python -m benchmarks nonsense` measures nothing and names the areas."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == done.returncode
    assert f"there are {', '.join(AREAS)}" in done.stderr
