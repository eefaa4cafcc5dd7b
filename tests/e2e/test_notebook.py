"""The quickstart and the sequences in real kernels, twice in a row."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from nbplat.config import load_config
from tests.fixtures.notebooks import PLAIN, ROOT, bundles, check_sequences, read, texts
from tests.fixtures.product import Product
from tests.fixtures.service import processes_of

pytestmark = [pytest.mark.kernel, pytest.mark.process]

QUICKSTART = "notebooks/01_quickstart.ipynb"
JOB_MIME = "application/vnd.nbplat.job.v1+json"
WHERE = "import nbplat; print(nbplat.__file__)"


def check_story(notebook: nbformat.NotebookNode, run_id: str) -> None:
    """The run went all the way and back, in lines that grep finds, script-free pages and live job records."""
    shown = bundles(notebook)
    text = "\n".join(bundle["text/plain"] for bundle in shown)
    for state in ("awaiting_promotion", "promoted", "rolled_back"):
        assert re.search(rf"^{run_id} {state} 48/48 files 1,943 rows$", text, re.MULTILINE), text
    assert not [bundle for bundle in shown if "<script" in bundle.get("text/html", "").lower()]
    jobs = [bundle[JOB_MIME] for bundle in shown if JOB_MIME in bundle]
    assert {run_id} == {job["run_id"] for job in jobs}
    assert {"backfill.promote", "backfill.rollback"} <= {job["kind"] for job in jobs}
    [found] = re.findall(r"^AUC without (0\.\d+) .* with spend_90d (0\.\d+) ", text, re.MULTILINE)
    assert 0.4 < float(found[0]) < float(found[1]) < 0.8


def copy_of_checkout(folder: Path) -> Path:
    """What a second clone holds of the product."""
    shutil.copytree(ROOT / "nbplat", folder / "nbplat", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / QUICKSTART, folder / "notebooks")
    return folder


def test_twice_in_a_row_and_from_a_second_clone(product: Product) -> None:
    """The notebook runs again without clean-up: each time a run of its own, since the last was rolled back."""
    clone = copy_of_checkout(product.folder / "clone")
    for number, root in ((1, ROOT), (2, clone)):
        notebook = nbformat.read(root / QUICKSTART, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(WHERE))
        product.execute(notebook, PYTHONPATH=str(root), **PLAIN)
        assert [str(root / "nbplat" / "__init__.py")] == notebook.cells[-1].outputs[0].text.split()
        check_story(notebook, f"spend_90d@{number}")
        assert product.address()[1] not in nbformat.writes(notebook)
    assert "service stopped" in product.run("service", "stop").out
    assert [] == processes_of(product.config)
    assert "spend_90d" not in product.rows().column_names


def test_the_demo_command(product: Product) -> None:
    """`nbplat demo run` in a fresh folder ends well with ten lines, a notebook and a page, and nothing runs on."""
    ran = product.run("demo", "run", "--folder", "build/demo", NBPLAT_HOME=None, **PLAIN)
    lines = ran.out.splitlines()
    assert 10 == len(lines)
    assert lines[0].startswith("nbplat demo: the quickstart ran in ")
    assert ["tables", "backfill", "staged", "trained"] == [line.split()[0] for line in lines[1:5]]
    assert "1,943 rows in 48 units" in lines[3]
    assert re.fullmatch(r"trained +AUC 0\.5\d\d without, 0\.6\d\d with the staged column", lines[4])
    folder = product.folder / "build" / "demo"
    check_story(nbformat.read(folder / "01_quickstart.ipynb", as_version=4), "spend_90d@1")
    page = (folder / "01_quickstart.html").read_text()
    assert (True, True) == ("spend_90d@1" in page, "rolled back" in page)
    options = {"home": str(folder / "state")}
    assert [] == processes_of(load_config(options, environ={}, cwd=folder, user_file=folder / "none.toml"))
    assert not product.home.exists()


def test_the_sequence_notebook_twice(product: Product) -> None:
    """It runs again over what it has left: the log is made anew, and the index follows it."""
    for _ in range(2):
        notebook = read("03_sequences")
        product.execute(notebook, **PLAIN)
        check_sequences(texts(notebook))
        bundles(notebook)
