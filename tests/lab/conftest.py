"""A JupyterLab with the built panel, beside a service, and a browser on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.fixtures.browser import Page
from tests.fixtures.jupyter import JupyterServer
from tests.fixtures.product import product, retail
from tests.fixtures.waiting import wait_until

__all__ = ["LabPage", "product", "retail"]

ROOT = Path(__file__).parents[2]
RESTORED = "window.jupyterapp && window.jupyterapp.restored.then(() => 1)"


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The built panel; built here where it is not."""
    done = subprocess.run(
        ["sh", ROOT / "scripts" / "labextension.sh", "build"], capture_output=True, text=True, timeout=280, check=False
    )
    assert 0 == done.returncode, done.stderr
    return ROOT / "labextension" / "dist"


class LabPage:
    """JupyterLab in a tab, as a person finds things in it: by roles and words."""

    def __init__(self, server: JupyterServer, page: Page) -> None:
        self.server = server
        self.page = page

    def open(self, path: str = "lab?reset", *, ready: str = RESTORED) -> None:
        """Open a page of the server, and wait until it stands."""
        joined = "&" if "?" in path else "?"
        self.page.open(f"{self.server.address}{path}{joined}token={self.server.token}")
        self.page.wait(ready, 60)
        self.page.wait("!document.querySelector('#jupyterlab-splash')", 60)

    def command(self, name: str, **arguments: Any) -> None:
        """Carry out a command of JupyterLab, without waiting for what comes of it."""
        import json

        self.page.value(f"void window.jupyterapp.commands.execute({name!r}, {json.dumps(arguments)})")

    def open_panel(self) -> None:
        """Open the left panel, and wait until the service has answered."""
        self.command("nbplat:open-panel")
        self.page.wait("document.querySelector('#nbplat-board [role=status]')?.textContent.match(/running/i)", 40)

    def panel(self) -> str:
        """All words of the panel."""
        return str(self.page.value("document.querySelector('#nbplat-board').innerText"))

    def rows(self) -> list[str]:
        """What a screen reader says of each row."""
        script = "[...document.querySelectorAll('#nbplat-board [data-row]')].map(each => each.ariaLabel)"
        return list(self.page.value(script))

    def wait_for(self, words: str, where: str = "#nbplat-board", limit_s: float = 30.0) -> None:
        """Wait until words stand somewhere."""
        self.page.wait(f"document.querySelector({where!r})?.innerText.includes({words!r})", limit_s)

    def button(self, words: str, where: str = "body") -> None:
        """Press the button that says so, or that is read so."""
        script = (
            f"[...document.querySelector({where!r}).querySelectorAll('button')]"
            f".find(each => [each.innerText.trim(), each.ariaLabel].includes({words!r}))"
        )
        self.page.wait(script + " !== undefined")
        self.page.value(script + ".click()")

    def notebook(self, name: str, *cells: str) -> None:
        """Write a notebook and open it, its kernel ready."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.server.folder / name)
        self.open(f"lab/tree/{name}?reset")
        self.ready(len(cells))

    def ready(self, cells: int = 1) -> None:
        """Wait for the notebook in front and its kernel."""
        self.page.wait(f"document.querySelectorAll('.jp-Notebook .jp-CodeCell').length >= {cells}", 60)
        self.page.wait("window.jupyterapp.commands.isEnabled('notebook:run-all-cells')", 60)
        session = "window.jupyterapp.shell.currentWidget.sessionContext.session"
        self.page.wait(f"{session}?.kernel?.connectionStatus == 'connected'", 60)

    def picture(self, name: str) -> None:
        """Keep a picture for people to look at, among the artefacts of the build."""
        folder = ROOT / "build" / "screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(self.page.picture())

    def until(self, condition: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
        """Wait for something outside the page."""
        return wait_until(condition, limit_s=limit_s, what=what)


@pytest.fixture
def lab(lab_server: JupyterServer, page: Page, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """A tab on the module's server; how it looked last is kept."""
    page.size(1400, 900)
    found = LabPage(lab_server, page)
    yield found
    found.picture(f"last-{request.node.name.removeprefix('test_')}")
