"""The same bundle in Notebook 7."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from nbplat.config import Config
from nbplat.service.discovery import environ_of
from nbplat.ui.client import ServiceClient
from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.lab.conftest import LabPage
from tests.lab.toy_backfills import backfill, saved_output

pytestmark = [pytest.mark.process, pytest.mark.kernel]


@pytest.fixture(scope="module")
def lab_server(
    shared_config: Config, shared_client: ServiceClient, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """Notebook 7 beside a service of toy jobs."""
    folder = tmp_path_factory.mktemp("notebook")
    with jupyter_server(folder, environ_of(shared_config), "--expose-app-in-browser", app="notebook") as running:
        yield running


def test_a_saved_job_is_live_there_too(lab: LabPage, shared_config: Config, axe: str) -> None:
    """A notebook that was saved while a job waited shows it as it is now, and its end, with no kernel of its own."""
    gate = shared_config.home / "gate"
    job_id = backfill(shared_config, "held", "backfill.wait", file=str(gate))
    cell = saved_output(job_id, "held@1")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), lab.server.folder / "saved.ipynb")

    lab.open("notebooks/saved.ipynb")
    lab.wait_for("staging", ".nbp-output [data-live]", 60)
    lab.button("No Kernel", ".jp-Dialog")
    lab.page.wait("!document.querySelector('.jp-Dialog')")
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        assert [] == lab.serious(".nbp-output", axe)
        lab.picture(f"notebook-7-{theme.lower()}")
    gate.touch()
    lab.wait_for("staged", ".nbp-output [data-ended]", 60)
