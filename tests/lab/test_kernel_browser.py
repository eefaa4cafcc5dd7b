"""The `nbplat-spark` kernel as a person uses it in JupyterLab: choose it, run, ask at the cursor, interrupt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbplat.config import Config
from nbplat.service.discovery import environ_of
from nbplat.ui.client import ServiceClient
from nbplat.ui.kernel.specs import write_spark_kernel
from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.lab.conftest import LabPage

pytestmark = [pytest.mark.process, pytest.mark.kernel]

CHOICE = "document.querySelector('.jp-Dialog select')"
COMPLETER = "document.querySelector('.jp-Completer:not(.lm-mod-hidden)')"


@pytest.fixture(scope="module")
def lab_server(
    shared_config: Config, shared_client: ServiceClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """JupyterLab with the kernel, beside a service whose drivers are plain Python."""
    folder = tmp_path_factory.mktemp("kernel-lab")
    write_spark_kernel(folder / "share" / "kernels")
    environ = {**environ_of(shared_config), "JUPYTER_PATH": str(folder / "share")}
    with jupyter_server(folder, environ, "--expose-app-in-browser", app="jupyterlab") as running:
        yield running
    for session in shared_client.get("/api/v1/sessions", limit=1000)["sessions"]:
        shared_client.delete(f"/api/v1/sessions/{session['id']}")


def choose_kernel(lab: LabPage, shown: str) -> None:
    """In the dialog that the name of the kernel opens, and wait until it has started."""
    lab.command("kernelmenu:change")
    lab.page.wait(f"[...({CHOICE}?.options ?? [])].some(each => each.text === {shown!r})", 60)
    lab.page.value(
        f"{CHOICE}.value = [...{CHOICE}.options].find(each => each.text === {shown!r}).value;"
        f"{CHOICE}.dispatchEvent(new Event('change', {{ bubbles: true }}))"
    )
    lab.page.value("document.querySelector('.jp-Dialog .jp-mod-accept').click()")
    lab.page.wait("document.querySelector('.jp-Toolbar-kernelName')?.innerText.includes('Spark (nbplat)')", 60)
    lab.ready()


def go_to(lab: LabPage, cell: int) -> None:
    """Make a cell the one that commands are about."""
    lab.page.value(f"window.jupyterapp.shell.currentWidget.content.activeCellIndex = {cell}")


def run(lab: LabPage, cell: int) -> None:
    """Run one cell, without waiting for its end."""
    go_to(lab, cell)
    lab.command("notebook:run-cell")


def output(cell: int) -> str:
    return f"(document.querySelectorAll('.jp-CodeCell')[{cell}].querySelector('.jp-OutputArea')?.innerText ?? '')"


def test_a_notebook_of_the_session(lab: LabPage, shared_client: ServiceClient) -> None:
    """Cells run in the session, %%local here; the cursor is answered while one runs, and Stop ends it there."""
    lab.notebook(
        "work.ipynb",
        "import os\nonly_there = os.getpid()\nprint('there', only_there)",
        "%%local\nimport os\nprint('here', os.getpid(), 'only_there' in globals())",
        "import time\nprint('begun', flush=True)\nwhile True:\n    time.sleep(0.02)",
        "only_th",
        "print(only_there, 'goes on')",
        "only_there / 0",
    )
    choose_kernel(lab, "Spark (nbplat)")
    run(lab, 0)
    lab.page.wait(f"/there \\d+/.test({output(0)})", 90)
    run(lab, 1)
    lab.page.wait(f"/here \\d+ False/.test({output(1)})", 60)
    there, here = (lab.page.value(f"{output(n)}.match(/here (\\d+)/)?.[1]") for n in (0, 1))
    assert there != here
    [session] = shared_client.get("/api/v1/sessions", limit=10)["sessions"]
    assert ("work", "idle") == (session["name"], session["state"])

    run(lab, 2)
    lab.page.wait(f"{output(2)}.includes('begun')", 60)
    go_to(lab, 3)
    lab.command("notebook:enter-edit-mode")
    lab.page.key("End")
    lab.command("completer:invoke-notebook")
    # The only name that fits is written at once.
    lab.page.wait(
        f"window.jupyterapp.shell.currentWidget.content.widgets[3].model.sharedModel.getSource() === 'only_there'"
        f" || {COMPLETER}?.innerText.includes('only_there')",
        60,
    )
    assert "begun" in lab.page.value(output(2))
    lab.picture("kernel-completes-while-busy")

    lab.page.key("Escape")
    lab.command("notebook:interrupt-kernel")
    lab.page.wait(f"{output(2)}.includes('was cancelled')", 60)
    assert "statement_end" not in lab.page.value(output(2))
    run(lab, 4)
    lab.page.wait(f"{output(4)}.includes('goes on')", 60)
    assert there in lab.page.value(output(4))
    run(lab, 5)
    lab.page.wait(f"{output(5)}.includes('ZeroDivisionError')", 60)
    assert len(lab.page.value(output(5)).splitlines()) <= 8
    lab.picture("kernel-error")
