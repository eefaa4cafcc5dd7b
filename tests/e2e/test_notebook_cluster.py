"""The tour of clusters in a real kernel: it ends everything that it starts, also when a cell fails.

``NBPLAT_TOUR_ROUNDS`` sets how often it runs in one folder. It leaves the folder as it was before, which is a test, so
that a second time is no other case than the first; each takes two minutes and more.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient.exceptions import CellExecutionError

from tests.fixtures.notebooks import CHECKS, PLAIN, bundles, read, texts
from tests.fixtures.product import Product, product_folder
from tests.fixtures.spark import JARS
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.process, pytest.mark.jvm, pytest.mark.ray]

TOUR = "06_cluster_tour"
LIMIT_S = 300
ROUNDS = int(os.environ.get("NBPLAT_TOUR_ROUNDS", "1"))


def started_for(folder: Path) -> list[psutil.Process]:
    """The living processes that were started for a folder, by command, working folder or state folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            about = [process.cwd(), process.environ().get("NBPLAT_HOME", ""), *process.cmdline()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in each for each in about):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One folder for all; what is left of it is ended whatever happens."""
    with product_folder(tmp_path_factory.mktemp("tour")) as product:
        yield product
    for process in started_for(product.folder / "cluster-tour"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def run(product: Product, notebook: nbformat.NotebookNode) -> None:
    jars = os.environ.get("NBPLAT_JARS") or str(JARS)
    product.execute(notebook, limit_s=LIMIT_S, NBPLAT_JARS=jars, **PLAIN)


@pytest.mark.timeout(600 + 600 * ROUNDS)
def test_the_tour(tour: Product) -> None:
    """A session in a shipped environment, the same backfill by Spark and by Ray; then nothing of it is left."""
    left = tour.folder / "cluster-tour"
    for _ in range(ROUNDS):
        before = set(tour.folder.iterdir()) | {tour.folder / "ipython"}
        notebook = read(TOUR)
        run(tour, notebook)
        CHECKS[TOUR](texts(notebook))
        bundles(notebook)
        assert (set(), False) == (set(tour.folder.iterdir()) - before, left.exists())
        # Ray's own processes see the end of the one that started them a moment later.
        wait_until(lambda: not started_for(left), limit_s=90, what="the end of what the notebook started")


@pytest.mark.timeout(600)
def test_a_cell_that_fails(tour: Product) -> None:
    """In a folder where it has run: clusters and service end with the kernel, without the cells that clean up."""
    notebook = read(TOUR)
    at = next(number for number, cell in enumerate(notebook.cells) if cell.source.startswith("%load_ext nbplat"))
    broken = ["%load_ext nbplat\n%nbplat status", "raise ValueError('broken on purpose')"]
    notebook.cells[at:] = [nbformat.v4.new_code_cell(text) for text in broken]
    with pytest.raises(CellExecutionError, match="broken on purpose"):
        run(tour, notebook)
    assert "a master and a worker run" in texts(notebook)
    left = tour.folder / "cluster-tour"
    wait_until(lambda: not started_for(left), limit_s=90, what="the end of what the notebook started")
