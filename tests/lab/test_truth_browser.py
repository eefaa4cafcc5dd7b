"""The panel says the truth when something between it and the service is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbplat.config import Config
from nbplat.service.discovery import environ_of
from nbplat.ui.client import ServiceClient
from tests.fixtures.browser import Page
from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.lab.conftest import LabPage

pytestmark = [pytest.mark.process, pytest.mark.kernel]

BASE = "/hub/user/ann/"


@contextmanager
def lab_on(folder: Path, environ: dict[str, str], *options: str) -> Iterator[JupyterServer]:
    """A JupyterLab under a base path."""
    words = ("--expose-app-in-browser", *options)
    with jupyter_server(folder, environ, *words, app="jupyterlab", base=BASE) as running:
        yield running


def test_a_wrong_token_and_a_dead_jupyter_server_are_said(
    service_config: Config, toy_client: ServiceClient, bundle: Path, page: Page, tmp_path: Path
) -> None:
    """A team's service with a wrong token: the panel says so with the mend, comes back when it is right, and says that
    the Jupyter server is gone when it is."""
    token = tmp_path / "token"
    token.write_text("wrong")
    environ = {**environ_of(service_config), "NBPLAT_SERVICE_URL": toy_client.url, "NBPLAT_URL": toy_client.url}
    environ |= {"NBPLAT_TOKEN_FILE": str(token), "NBPLAT_SERVICE_TOKEN_FILE": str(token)}
    with lab_on(tmp_path, environ) as server:
        page.size(1400, 900)
        lab = LabPage(server, page)
        lab.open()
        lab.command("nbplat:open-panel")
        lab.wait_for("service.token", "#nbplat-board .nbp-trouble", 60)
        lab.wait_for("NBPLAT_TOKEN_FILE", "#nbplat-board .nbp-trouble")
        lab.picture("token-wrong")

        token.write_text(toy_client.token)
        lab.measured("a mended token is seen", lambda: lab.wait_for("Nothing is running.", limit_s=60))
        assert not page.value("!!document.querySelector('#nbplat-board .nbp-trouble')")

        server.process.kill()
        trouble = "#nbplat-board .nbp-trouble"
        lab.measured("a dead Jupyter server is said", lambda: lab.wait_for("does not answer", trouble, 60))
        # What was known before stays, with the time that it is of.
        assert "Nothing is running." not in lab.panel()
        assert "As it was at" in lab.panel()
        lab.picture("server-down")


def test_a_missing_extension_is_said_with_the_command(
    service_config: Config, bundle: Path, page: Page, tmp_path: Path
) -> None:
    """Where the server extension is not enabled the panel names the command that enables it, and so do the forms."""
    off = "--ServerApp.jpserver_extensions=nbplat.ui.server=False"
    with lab_on(tmp_path, environ_of(service_config), off) as server:
        page.size(1400, 900)
        lab = LabPage(server, page)
        lab.open()
        lab.command("nbplat:open-panel")
        mend = "jupyter server extension enable nbplat.ui.server"
        lab.wait_for(mend, "#nbplat-board .nbp-trouble", 60)
        lab.picture("extension-missing")
        lab.command("nbplat:new", section="training")
        lab.page.wait("!document.querySelector('#nbplat-board input[type=search]')")
        lab.wait_for(mend, "#nbplat-board .nbp-trouble", 60)
