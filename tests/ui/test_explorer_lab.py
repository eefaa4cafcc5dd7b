"""The explorer in JupyterLab: a kernel draws it, the theme is followed, and without the kernel the picture stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
VIEW = "application/vnd.jupyter.widget-view+json"
CELL = (
    f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    "from nbplat.ui.widgets.sequence_explorer import explorer\n"
    "from tests.sequence.made_preview import made_preview\n"
    "explorer(made_preview(6, 20, leaking=True))"
)
TOKEN = "a-token-for-the-test"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A JupyterLab on a free port and the folder that it serves."""
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    where = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = {**os.environ, **dict.fromkeys((*where, "IPYTHONDIR"), str(home))}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root"]
    command.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    options = [f"--ServerApp.root_dir={folder}", "--ServerApp.port=0", f"--IdentityProvider.token={TOKEN}"]
    process = subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield folder, _address(process, home)
    finally:
        process.terminate()
        process.wait(30)


def _address(process: subprocess.Popen[bytes], home: Path) -> str:
    def answers() -> str:
        assert process.poll() is None
        for path in home.glob("jpserver-*.json"):
            # Half a file, or a server that does not listen yet.
            with suppress(ValueError, KeyError, OSError):
                server = json.loads(path.read_text())
                with closing(HTTPConnection("127.0.0.1", server["port"], timeout=5)) as asked:
                    asked.request("GET", "/api/status", headers={"Authorization": f"token {TOKEN}"})
                    if asked.getresponse().status == 200:
                        return f"http://127.0.0.1:{server['port']}/"
        return ""

    return wait_until(answers, limit_s=60, what="JupyterLab's answer")


def test_jupyterlab_draws_it_and_follows_the_theme(lab, page):
    """Run in Lab, the cell shows the canvas with the focus and the leak panel; a dark theme is taken over at once."""
    folder, address = lab
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "look.ipynb")

    page.size(1300, 1000)
    page.open(f"{address}lab/tree/look.ipynb?token={TOKEN}")
    page.wait("window.jupyterapp && document.querySelectorAll('.jp-Notebook .jp-CodeCell').length", 60)
    page.wait("window.jupyterapp.commands.isEnabled('notebook:run-all-cells')", 60)
    page.wait(
        "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.connectionStatus == 'connected'", 60
    )
    page.value("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => 1)")
    page.wait("document.querySelectorAll('.nb-explorer canvas').length > 1", 60)

    assert "LEAK:" in page.value("document.querySelector('.nb-explorer .verdict').textContent")
    page.value("document.querySelector('.nb-explorer canvas[tabindex]').focus()")
    page.key("ArrowDown")
    page.key("Home")
    told = page.value("document.querySelector('.nb-explorer [aria-live=polite]').textContent")
    assert told.startswith("13017, event 1 of")
    # The notebook did not take the key for its own.
    assert 1 == page.value("document.querySelectorAll('.jp-Notebook .jp-CodeCell').length")

    page.value(
        "window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' }).then(() => 1)"
    )
    page.wait("document.querySelector('.nb-explorer').hasAttribute('data-dark')")


def test_a_notebook_without_its_kernel_shows_the_static_picture():
    """Run headless the output holds all three forms; converted without a kernel's state it is the HTML block."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False).execute()

    data = notebook.cells[0].outputs[-1].data
    assert {"text/plain", "text/html", VIEW} == set(data)
    assert data["text/plain"].startswith("sequence home_v3 0a1b2c3d4e5f: LEAK:")
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert 'aria-label="Preview of sequence home_v3"' in page
    assert "LEAK:" in page
