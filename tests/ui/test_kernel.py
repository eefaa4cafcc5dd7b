"""The magics in a real kernel, as a notebook runner sees them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
SET_UP = (
    f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom nbplat.ui.magics import register\n"
    "register(get_ipython(), {('backfill', 'run'): 'tests.ui.fake_handlers:%s'})"
)
CELL = "%%backfill spend --table t.x\nSELECT 1 AS one FROM base"


def run_notebook(handler: str, *cells: str):
    """Run cells after the set-up, and return the notebook and what stopped it (None when nothing did)."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (SET_UP % handler, *cells)])
    try:
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    except CellExecutionError as exc:
        return notebook, exc
    return notebook, None


def test_an_error_stops_run_all_with_one_short_block():
    """The failed cell's status is error, its output is the block alone, and the cell below does not run."""
    notebook, stopped = run_notebook("bad_data", CELL, "print('never')")

    _, failed, below = notebook.cells
    assert stopped is not None
    assert ["error"] == [output.output_type for output in failed.outputs]
    assert ("DataError", 2) == (failed.outputs[0].ename, len(failed.outputs[0].traceback))
    assert "fix: choose --key" in failed.outputs[0].traceback[1]
    assert None is below.execution_count


def test_live_progress_ends_as_one_output():
    """Updates are folded into one output that holds the final state; the value is in `_` and draws nothing more."""
    notebook, stopped = run_notebook("slow", CELL, "_.text")

    _, ran, after = notebook.cells
    assert stopped is None
    assert ["display_data"] == [output.output_type for output in ran.outputs]
    assert "spend_90d@1 staged" == ran.outputs[0].data["text/plain"]
    assert "'spend_90d@1 staged'" == after.outputs[0].data["text/plain"]
