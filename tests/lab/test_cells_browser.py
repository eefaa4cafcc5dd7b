"""A job in a cell's output: the truth of the service, whatever became of the page and the kernel."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.fixtures.product import Product
from tests.lab.conftest import LabPage

pytestmark = [pytest.mark.process, pytest.mark.kernel]

OUTPUT = ".nbp-output"
# For what stages every file, on a machine that does other things as well.
LONG_S = 180


@pytest.fixture(scope="module")
def lab_server(retail: Product, bundle: Path) -> Iterator[JupyterServer]:
    """JupyterLab on the small retail."""
    with jupyter_server(retail.folder, retail.env, "--expose-app-in-browser", app="jupyterlab") as running:
        yield running


def held_cell(product: Product, name: str) -> tuple[str, Path, int]:
    """A cell whose run waits at one file until the gate is there, the gate, and how many files are done before."""
    words, gate, before = product.held_cell(name)
    return "%" + shlex.join(words), gate, before


def run_all(lab: LabPage) -> None:
    # Never waited for: it ends when the cells do.
    lab.command("notebook:run-all-cells")


def staging_beside_the_panel(lab: LabPage, product: Product, name: str) -> Path:
    """Run a cell whose run waits at one file, and open the panel; returns the gate that lets it go on."""
    cell, gate, _ = held_cell(product, name)
    lab.notebook(f"{name}.ipynb", "%load_ext nbplat", cell)
    run_all(lab)
    lab.page.wait(f"document.querySelector({OUTPUT!r} + ' [data-live]')?.innerText.includes('staging')", 60)
    lab.open_panel()
    return gate


def test_a_backfill_seen_through_a_reload_and_a_dead_kernel(lab: LabPage, retail: Product) -> None:
    """The bar goes on after the page is loaded again with the kernel busy, after the kernel's death, and to the end."""
    cell, gate, before = held_cell(retail, "seen")
    lab.notebook("seen.ipynb", "%load_ext nbplat", cell)
    run_all(lab)
    lab.until(lambda: retail.done("seen@1", "stage") == before, "the files before the held one", 60)
    lab.wait_for(f"{before}/48 files", f"{OUTPUT} [data-live]", 30)
    lab.picture("cell-running")
    lab.command("docmanager:save")
    path = lab.server.folder / "seen.ipynb"
    lab.until(lambda: "vnd.nbplat.job" in path.read_text(), "the saved notebook")

    lab.open("lab/tree/seen.ipynb")
    lab.page.wait(f"document.querySelector({OUTPUT!r} + ' [data-live]')?.innerText.includes('staging')", 60)

    [kernel] = lab.server.ask("GET", "api/kernels").json
    assert 204 == lab.server.ask("DELETE", f"api/kernels/{kernel['id']}").status
    lab.open("lab/tree/seen.ipynb")
    live = f"document.querySelector({OUTPUT!r} + ' [data-live]')?.innerText"
    lab.page.wait(f"{live}.includes('staging')", 60)
    lab.picture("cell-after-kernel-death")

    gate.touch()
    lab.wait_for("awaiting promotion", f"{OUTPUT} [data-ended]", LONG_S)
    assert "seen@1" in lab.page.value(f"document.querySelector({OUTPUT!r}).innerText")
    lab.picture("cell-ended-without-kernel")
    assert [] == [fault for fault in lab.page.faults if "404" not in fault]
    # The kernel has told where it was asked from, so that any client's list leads back here.
    assert str(path) == retail.json("backfill", "show", "seen")["run"]["notebook"]


def test_the_cells_own_picture_stays_at_the_end(lab: LabPage, retail: Product, axe: str) -> None:
    """When the run has come to rest the cell's own table stands below one line of the service, also after a reload."""
    cell, gate, _ = held_cell(retail, "shown")
    gate.touch()
    lab.notebook("shown.ipynb", "%load_ext nbplat", cell)
    run_all(lab)
    lab.wait_for("staging table", OUTPUT, 60)
    lab.wait_for("awaiting promotion", f"{OUTPUT} [data-ended]", LONG_S)
    lab.picture("cell-result")
    lab.command("docmanager:save")
    lab.until(lambda: "awaiting_promotion" in (lab.server.folder / "shown.ipynb").read_text(), "the saved notebook")
    # What was done elsewhere meanwhile is said as well.
    retail.run("backfill", "rollback", "shown")
    lab.open("lab/tree/shown.ipynb")
    lab.wait_for("rolled back", OUTPUT, 60)
    lab.button("Open", OUTPUT)
    lab.wait_for(" findings ok", ".nbp-page [aria-label=Audit]", 60)
    assert [] == lab.serious(".nbp-page", axe)
    lab.picture("run-audit")

    notebook = json.loads((lab.server.folder / "shown.ipynb").read_text())
    [output] = [each for each in notebook["cells"][1]["outputs"] if "data" in each]
    assert {"text/plain", "text/html", "application/vnd.nbplat.job.v1+json"} == set(output["data"])


def test_a_job_is_cancelled_from_the_panel(lab: LabPage, retail: Product, axe: str) -> None:
    """Cancel in the panel ends the job of a cell; the cell, the row and the ledger say so."""
    staging_beside_the_panel(lab, retail, "ended")
    lab.theme("Dark")
    assert [] == lab.serious(OUTPUT, axe)
    lab.page.wait("!!document.querySelector('#nbplat-board [data-row] .nbp-bar')")
    lab.picture("dark")
    lab.command("nbplat:open", what="run", kind="backfill", id="ended@1")
    lab.wait_for(" of 48 staged", ".nbp-page [aria-label=Partitions]", 60)
    assert 48 == lab.page.value("document.querySelectorAll('.nbp-grid .nbp-box').length")
    lab.wait_for("splices 48 of 48 files", ".nbp-page [aria-label=Plan]")
    lab.wait_for("retail.train at snapshot", ".nbp-page [aria-label=Lineage]")
    assert [] == lab.serious(".nbp-page", axe)
    lab.picture("run-partitions-dark")
    lab.theme("Light")
    assert [] == lab.serious(".nbp-page", axe)
    lab.picture("run-partitions")
    lab.button("Cancel ended@1", "#nbplat-board")
    lab.button("Cancel job", ".jp-Dialog")
    lab.wait_for("planned", "#nbplat-board [data-row='backfill/ended@1']", 60)
    run = retail.json("backfill", "show", "ended")
    assert ("planned", "cancelled") == (run["run"]["state"], run["jobs"][0]["state"])


def test_a_killed_service_is_said_and_comes_back(lab: LabPage, retail: Product) -> None:
    """Service and worker killed during a run: the panel tells the truth, and the run goes on to its end."""
    gate = staging_beside_the_panel(lab, retail, "again")
    retail.kill("both")
    gate.touch()
    lab.wait_for("awaiting promotion", "#nbplat-board [data-row='backfill/again@1']", LONG_S)
    assert "service" not in lab.page.value("document.querySelector('.nbp-trouble')?.innerText ?? ''")
