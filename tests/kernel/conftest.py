"""One service with plain-Python drivers, and one kernel of ours on it, for the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.config import Config
from nbplat.ui.cli import main
from nbplat.ui.client import ServiceClient
from tests.fixtures.kernels import Kernel, started_kernel


@pytest.fixture(scope="module")
def service(
    shared_client: ServiceClient, shared_config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceClient]:
    """A service that every kernel of this module finds; Jupyter's folders are the test's own."""
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBPLAT_HOME", str(shared_config.home))
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / name.lower()))
        # Sockets' paths have a limit: the service's runtime folder is short.
        patch.setenv("JUPYTER_RUNTIME_DIR", os.environ["XDG_RUNTIME_DIR"])
        patch.setenv("JPY_SESSION_NAME", str(folder / "study.ipynb"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]]))
        assert 0 == main(["kernel", "install"])
        yield shared_client
        for session in shared_client.get("/api/v1/sessions", limit=1000)["sessions"]:
            shared_client.delete(f"/api/v1/sessions/{session['id']}")


@pytest.fixture(scope="module")
def kernel(service: ServiceClient) -> Iterator[Kernel]:
    """One kernel, with a session once a cell has run."""
    with started_kernel("nbplat-spark") as started:
        yield started
