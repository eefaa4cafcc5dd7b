"""A JupyterLab with the built panel, beside a service, and a browser on it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.fixtures.browser import Page
from tests.fixtures.jupyter import JupyterServer
from tests.fixtures.product import product, retail, shop
from tests.fixtures.waiting import wait_until

__all__ = ["LabPage", "product", "retail", "shop"]

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


@pytest.fixture(scope="session")
def axe() -> str:
    """The program that looks for faults of accessibility in a page."""
    script = ROOT / "scripts" / "labextension.sh"
    done = subprocess.run(["sh", script, "install"], capture_output=True, text=True, timeout=280, check=False)
    assert 0 == done.returncode, done.stderr
    return (ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js").read_text()


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
        if path == "lab?reset":
            # It comes late and takes the focus.
            self.page.wait("!!document.querySelector('.jp-Launcher')", 60)

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

    def write_notebook(self, name: str, *cells: nbformat.NotebookNode) -> None:
        """Write a notebook of Python."""
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        # Without it a person is asked for a kernel.
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.server.folder / name)

    def notebook(self, name: str, *cells: str) -> None:
        """Write a notebook and open it, its kernel ready."""
        self.write_notebook(name, *(nbformat.v4.new_code_cell(cell) for cell in cells))
        self.open(f"lab/tree/{name}?reset")
        self.ready(len(cells))

    def theme(self, name: str) -> None:
        """``Light`` or ``Dark``; waits until the page has it."""
        light = "true" if name == "Light" else "false"
        if light != self.page.value("document.body.getAttribute('data-jp-theme-light')"):
            self.command("apputils:change-theme", theme=f"JupyterLab {name}")
            self.page.wait(f"document.body.getAttribute('data-jp-theme-light') == '{light}'")
            self.page.wait("!document.querySelector('#jupyterlab-splash')")

    def write(self, label: str, text: str, where: str = "#nbplat-board") -> None:
        """Put text into the field that is called so, as typing does."""
        script = f"""(() => {{
          const root = document.querySelector({where!r});
          const named = each => each.ariaLabel ?? each.labels?.[0]?.innerText.replace(' *', '') ?? '';
          const fields = [...root.querySelectorAll('input, textarea')];
          const field = fields.find(each => named(each).trim() === {label!r});
          const kind = field.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement;
          Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(field, {text!r});
          field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"""
        self.page.value(script)

    def sources(self) -> list[str]:
        """The texts of the cells of the notebook in front."""
        script = """window.jupyterapp.shell.currentWidget.content.widgets
          .map(cell => cell.model.sharedModel.getSource())"""
        return list(self.page.value(script))

    def serious(self, where: str, axe: str) -> list[str]:
        """What axe calls serious or critical in a part of the page, each with the elements it is about."""
        if not self.page.value("!!window.axe"):
            self.page.value(axe + "; 1")
        script = f"""axe.run({where!r}, {{ resultTypes: ['violations'] }}).then(found => found.violations
          .filter(each => ['serious', 'critical'].includes(each.impact))
          .map(each => each.id + ': ' + each.nodes.map(node => node.html + ' ' + node.any.map(one => one.message))
            .join(' | ')))"""
        return list(self.page.value(script))

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

    def measured(self, what: str, happens: Callable[[], object]) -> None:
        """Note how long something takes in build/lab-times.txt; never held against a limit, as CI is slow at times."""
        began = time.monotonic()
        happens()
        folder = ROOT / "build"
        folder.mkdir(exist_ok=True)
        with (folder / "lab-times.txt").open("a") as file:
            file.write(f"{time.monotonic() - began:6.2f} s  {what}\n")

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
