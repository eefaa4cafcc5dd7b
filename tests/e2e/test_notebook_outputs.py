"""What the committed notebooks show to a reader who does not run them."""

from __future__ import annotations

import re

import nbformat
import pytest

from tests.fixtures.notebooks import CHECKS, NOTEBOOKS, ROOT, bundles, read, texts


def test_the_six_notebooks_are_there() -> None:
    """One a step of the way, and the README names each."""
    names = [
        "01_quickstart",
        "02_environments_and_sessions",
        "03_sequences",
        "04_backfills",
        "05_training",
        "06_cluster_tour",
    ]
    assert names == sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    readme = (ROOT / "README.md").read_text()
    assert [] == [name for name in names if f"notebooks/{name}.ipynb" not in readme]


@pytest.mark.parametrize("name", CHECKS)
def test_the_outputs_are_those_of_a_run(name: str) -> None:
    """They are real and small, and hold no script, no widget's state, no path of a machine and no secret."""
    notebook = read(name)
    CHECKS[name](texts(notebook))
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < 250_000
    assert {"text/plain", "text/html"} == {kind for bundle in bundles(notebook) for kind in bundle}
    assert "widgets" not in notebook.metadata
    written = nbformat.writes(notebook)
    assert not re.search(r"<script|/(?:home|root|tmp|Users|work|var/folders)/", written)
    # A token of ours has 43 such characters; what is longer is a hash.
    assert [] == re.findall(r"(?<![\w/+-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]{43}(?![\w-])", written)


@pytest.mark.parametrize("name", CHECKS)
def test_every_cell_has_run_in_order(name: str) -> None:
    """From the first to the last, once."""
    counts = [cell.execution_count for cell in read(name).cells if cell.cell_type == "code"]
    assert [*range(1, len(counts) + 1)] == counts
