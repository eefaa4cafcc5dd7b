"""papermill, in an environment of its own, runs notebooks with our magics in our kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbplat.ui.kernel.specs import write_spark_kernel
from tests.fixtures.apart import command_apart
from tests.fixtures.product import Product, Ran

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.process, pytest.mark.timeout(400)]

CELLS = {
    "python3": [
        "days = 30",
        "%load_ext nbplat",
        "%%backfill spend_{{ days }}d --table {{ table }} --key example_id --dry-run --out plan\n"
        "SELECT base.example_id, coalesce(sum(e.amount), 0) AS spend_{{ days }}d\n"
        "FROM base LEFT JOIN retail.events e ON e.customer_id = base.customer_id\n"
        "  AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL {{ days }} DAYS\n"
        "GROUP BY base.example_id",
        "print('planned', plan.name, len(plan.units))",
    ],
    "nbplat-spark": ["days = 30", "print('there', days)", "%%local\nprint('here', days)", "1 / 0", "print('never')"],
}


@pytest.fixture
def papermill() -> Path:
    """The command."""
    return command_apart("papermill", "papermill")


def run(command: Path, product: Product, kernel: str, **parameters: Any) -> tuple[Ran, nbformat.NotebookNode]:
    """The notebook of a kernel with these parameters, as papermill leaves it."""
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS[kernel]]
    cells[0].metadata.tags = ["parameters"]
    asked, done = product.folder / "asked.ipynb", product.folder / "done.ipynb"
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(notebook, asked)
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    plain = product.folder / "jupyter" / "kernels" / "python3"
    plain.mkdir(parents=True, exist_ok=True)
    (plain / "kernel.json").write_text(json.dumps({**spec, "display_name": "Python 3"}))
    write_spark_kernel(plain.parent)
    words = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    ran = subprocess.run(
        [command, asked, done, "-k", kernel, "--no-progress-bar", *words],
        env={**product.env, "JUPYTER_PATH": str(plain.parents[1]), "JUPYTER_DATA_DIR": str(product.folder / "none")},
        cwd=product.folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr), nbformat.read(done, as_version=4)


def test_parameters_reach_the_magics(papermill: Path, retail: Product) -> None:
    """They are names of the templates in lines and bodies."""
    ran, notebook = run(papermill, retail, "python3", days=60, table="retail.train")
    assert 0 == ran.code, ran.err
    assert "planned spend_60d 48\n" == notebook.cells[-1].outputs[0].text


def test_a_magic_that_fails_stops_it(papermill: Path, retail: Product) -> None:
    """At that cell, with our error and its mend in what papermill says and in the notebook; the next has not run."""
    ran, notebook = run(papermill, retail, "python3", days=60, table="retail.trian")
    assert 1 == ran.code
    assert "table.unknown: there is no table retail.trian" in ran.err
    assert "fix: did you mean retail.train" in ran.err
    *_, failed, below = notebook.cells
    assert ["NotFound"] == [each.ename for each in failed.outputs if each.output_type == "error"]
    assert (None, []) == (below.execution_count, below.outputs)


def test_the_kernel_of_the_session(papermill: Path, retail: Product) -> None:
    """Parameters are there in the session and here; an error of the session stops it, and the session is ended."""
    ran, notebook = run(papermill, retail, "nbplat-spark", days=7)
    assert (1, True) == (ran.code, "ZeroDivisionError" in ran.err)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    printed = ["".join(out.get("text", "") for out in each.outputs if out.get("name") == "stdout") for each in code]
    assert ["there 7\n", "here 7\n", "", ""] == printed[-4:]
    assert code[-1].execution_count is None
