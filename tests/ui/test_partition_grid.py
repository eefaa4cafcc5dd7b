"""The grid of a run's partitions: states, what to do next, the widget's logic, and a page without a kernel."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbplat.errors import NotFound
from nbplat.ui.widgets.partition_grid import PartitionGrid


def part(name: str, files: int = 2, **counts: int) -> dict[str, Any]:
    none = {"done": 0, "failed": 0, "leased": 0}
    return {"partition": name, "files": files, "rows": 10, "read_bytes": 2_000, **none, **counts}


def grid(*partitions: dict[str, Any], state: str = "staging") -> PartitionGrid:
    return PartitionGrid({"id": "spend@3", "state": state}, partitions)


MIXED = (
    part("month=2011-01, bucket=0", done=2),
    part("month=2011-01, bucket=1", done=1, failed=1),
    part("month=2011-02, bucket=0", leased=1),
    part("month=2011-02, bucket=1"),
)


def test_the_state_of_a_partition():
    """One failed file makes it failed; it is done when all files are, and under way when one is."""
    shown = grid(*MIXED, part("month=2011-03, bucket=0", done=1))
    states = [line.split()[1] for line in shown.text.splitlines()[1:]]
    assert ["done", "failed", "running", "waiting", "running"] == states
    assert "spend@3 staging: 5 partitions, 1 done, 1 failed, 2 running, 1 waiting" == shown.text.splitlines()[0]


@pytest.mark.parametrize(
    ("partitions", "state", "cell"),
    [
        (MIXED, "staging", "%backfill retry spend@3"),
        ([part("a", done=2)], "awaiting_promotion", "%backfill promote spend@3"),
        ([part("a", leased=1)], "staging", "%backfill attach spend@3"),
        ([part("a", done=2)], "promoted", "%backfill extend spend@3"),
        ([part("a", done=2)], "rolled_back", "%backfill show spend@3"),
    ],
)
def test_the_line_that_acts_next(partitions, state, cell):
    """It follows from the run and its partitions, and is text that can be run."""
    assert cell == grid(*partitions, state=state).cell


def test_the_widget_follows_the_choice():
    """What failed is chosen at first; a choice in either place shows what is known of that partition."""
    shown = grid(*MIXED)
    assert shown.widget is shown.widget
    choice, detail = shown.controls
    assert "month=2011-01, bucket=1" == shown.chosen == choice.value
    assert "1 failed (%backfill logs spend@3 has their errors)" in detail.value
    choice.value = "month=2011-02, bucket=0"
    assert detail.value.startswith("month=2011-02, bucket=0: running, 0 of 2 files, 10 rows, 2.0 kB to read\n")
    shown.choose("")
    assert ("", "%backfill retry spend@3") == (choice.value, detail.value)
    assert ["partition", "known of it"] == [choice.description, detail.description]
    with pytest.raises(NotFound, match="no partition 'month=2011-04'"):
        shown.choose("month=2011-04")


def test_a_page_without_a_kernel():
    """A row a month and a column a bucket, each cell with sign and label, no script, text as text."""
    page = grid(*MIXED, part("month=<b>, bucket=0")).bundle()["text/html"]
    assert ([], 3, 2) == (
        re.findall(r"<script|<b>|\bon\w+=", page),
        page.count('<th scope="row"'),
        page.count('<th scope="col"'),
    )
    assert 5 == len(re.findall(r'aria-label="[^"]+: (?:done|failed|running|waiting), \d of 2 files">[✓✗…·] ', page))


def test_a_table_without_partitions():
    """It is one cell; a run over thousands of partitions says how many are not shown, and stays small."""
    assert "✓ done     all  2/2 files  10 rows" in grid(part("", done=2)).text
    many = grid(*(part(f"day={n}", done=2) for n in range(3_000)))
    assert ("2800 more partitions are not shown", True) == (many.text.splitlines()[-1], len(many.html) < 150_000)
