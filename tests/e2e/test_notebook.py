"""The notebooks in real kernels: twice in a row, the quickstart from a second copy of the checkout as well."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbplat.config import load_config
from tests.fixtures.product import Product
from tests.fixtures.service import processes_of

pytestmark = [pytest.mark.kernel, pytest.mark.process]

ROOT = Path(__file__).parents[2]
QUICKSTART = "notebooks/01_quickstart.ipynb"
SEQUENCES = "notebooks/03_sequences.ipynb"
ENVIRONMENTS = "notebooks/04_environments.ipynb"
JOB_MIME = "application/vnd.nbplat.job.v1+json"
WHERE = "import nbplat; print(nbplat.__file__)"
# As a person runs it: every file in one query.
PLAIN = {"NBPLAT_LIMITS_MEMORY_BYTES": str(2 << 30)}


def bundles(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """The MIME bundles of all outputs, in order; an error among them fails."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    return [dict(output.data) for output in outputs if "data" in output]


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
    for number, root in ((1, ROOT), (2, ROOT), (3, clone)):
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


def texts(notebook: nbformat.NotebookNode) -> str:
    """All text of the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def check_sequences(text: str) -> None:
    """The leak is seen, the right one has none, the index is built and corrected, the model is better for it."""
    assert re.search(r"^sequence first_try \w+: LEAK: [1-9][\d,]* of [\d,]+ tokens", text, re.MULTILINE), text
    assert re.search(r"^sequence history \w+: no leak: 0 of [\d,]+ tokens", text, re.MULTILINE), text
    assert re.search(r"^history@1 built 47,(424|673) events 576 entities$", text, re.MULTILINE), text
    assert "history@1 compared: 8 users, +249 -0 ~0 events" in text
    assert "nothing was published; the same with --yes publishes it" in text
    assert "history@1 corrected: 8 users, +249 -0 ~0 events" in text
    [found] = re.findall(r"^AUC without (0\.\d+) .* with sequence history.short (0\.\d+) ", text, re.MULTILINE)
    assert 0.4 < float(found[0]) < float(found[1]) < 0.8


def test_the_sequence_notebook_twice(product: Product) -> None:
    """It runs again over what it has left: the log is made anew, and the index follows it."""
    for _ in range(2):
        notebook = nbformat.read(ROOT / SEQUENCES, as_version=4)
        product.execute(notebook, **PLAIN)
        check_sequences(texts(notebook))
        bundles(notebook)


def check_environments(text: str) -> None:
    """Declared, built, used by a backfill, packed, shipped once and changed, in lines that grep finds."""
    key = re.search(r"^features ([0-9a-f]{12}) built in ", text, re.MULTILINE)
    assert key is not None, text
    assert re.search(rf"^runs in \S+/envs/{key[1]}", text, re.MULTILINE)
    assert re.search(r"^log_amount@\d+ awaiting_promotion 13/13 files 47,673 rows$", text, re.MULTILINE)
    packed = re.findall(r"^features packed [\d.]+ MB tar\.gz sha256 ([0-9a-f]{64})$", text, re.MULTILINE)
    assert 2 == len(set(packed))
    assert re.search(rf"^features pushed \S+/{packed[0]}\.tar\.gz \(.* MB sent\)$", text, re.MULTILINE)
    assert re.search(rf"^features pushed \S+/{packed[0]}\.tar\.gz \(.* it was there already\)$", text, re.MULTILINE)
    assert f"{packed[0]}.tar.gz#environment" in text
    assert "1 removed, 2 the same" in text


def test_the_notebook_of_environments(product: Product) -> None:
    """In an empty folder and without a network it goes from a channel of this Python to what a cluster is told."""
    notebook = nbformat.read(ROOT / ENVIRONMENTS, as_version=4)
    product.execute(notebook, **PLAIN)
    check_environments(texts(notebook))
    bundles(notebook)


@pytest.mark.parametrize(
    ("name", "check"),
    [(SEQUENCES, check_sequences), (ENVIRONMENTS, check_environments)],
    ids=["sequences", "environments"],
)
def test_the_committed_outputs_are_those_of_a_run(name: str, check: Callable[[str], None]) -> None:
    """What a reader sees without running it is real, small, and free of scripts, widgets and a machine's paths."""
    path = ROOT / name
    notebook = nbformat.read(path, as_version=4)
    check(texts(notebook))
    assert path.stat().st_size < 250_000
    assert {"text/plain", "text/html"} == {kind for bundle in bundles(notebook) for kind in bundle}
    assert not re.search(r"<script|/(?:home|root|tmp|Users|work)/", nbformat.writes(notebook))
