"""Stock sparkmagic's settings: written for this service, and nobody's own are lost."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.config import Config
from nbplat.errors import Conflict, DataError
from nbplat.service.discovery import read_info
from nbplat.ui.cli import main
from nbplat.ui.client import ServiceClient
from nbplat.ui.sparkmagic_config import install_kernel, write_config

URL = "http://127.0.0.1:20001"


def settings(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "config.json").read_text()))


def test_a_fresh_file_holds_address_and_password_for_its_owner_only(tmp_path: Path) -> None:
    """Basic authentication with the token, no automatic charts, mode 0600, folder 0700."""
    folder = tmp_path / "magic"
    assert (folder / "config.json", None) == write_config(folder, URL, "hush", force=False)
    written = settings(folder)
    assert {"username": "nbplat", "password": "hush", "url": URL, "auth": "Basic_Access"} == written[
        "kernel_python_credentials"
    ]
    wanted = ("use_auto_viz", "livy_session_startup_timeout_seconds", "wait_for_idle_timeout_seconds")
    assert [False, 180, 86_400] == [written[key] for key in wanted]
    assert [0o600, 0o700] == [stat.S_IMODE(path.stat().st_mode) for path in (folder / "config.json", folder)]


def test_other_settings_stay_and_a_copy_is_kept(tmp_path: Path) -> None:
    """Keys of the user's are merged with ours; the same service's token is renewed; a second run changes nothing."""
    theirs = {"heartbeat_refresh_seconds": 5, "use_auto_viz": True, "kernel_python_credentials": {"url": URL}}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    path, copy = write_config(tmp_path, URL, "hush", force=False)
    assert copy is not None
    assert theirs == json.loads(copy.read_text())
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    written = settings(tmp_path)
    assert (5, True) == (written["heartbeat_refresh_seconds"], written["use_auto_viz"])
    assert (path, None) == write_config(tmp_path, URL, "hush", force=False)
    assert theirs == json.loads(copy.read_text())


def test_another_services_credentials_are_replaced_only_when_forced(tmp_path: Path) -> None:
    """The refusal names the address and changes nothing; --force keeps a copy."""
    text = json.dumps({"kernel_python_credentials": {"url": "http://livy.example:8998"}, "use_auto_viz": True})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Conflict, match=r"livy\.example:8998"):
        write_config(tmp_path, URL, "hush", force=False)
    assert text == (tmp_path / "config.json").read_text()
    _, copy = write_config(tmp_path, URL, "hush", force=True)
    assert copy is not None
    assert text == copy.read_text()
    assert False is settings(tmp_path)["use_auto_viz"]


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_a_file_that_is_no_object_is_left_alone(tmp_path: Path, text: str) -> None:
    """A broken file is named and not overwritten, forced or not."""
    (tmp_path / "config.json").write_text(text)
    for force in (False, True):
        with pytest.raises(DataError, match="no JSON object"):
            write_config(tmp_path, URL, "hush", force=force)
    assert text == (tmp_path / "config.json").read_text()


@pytest.fixture
def fake_sparkmagic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name with a logo, and a data folder of Jupyter's that is the test's own."""
    kernel = tmp_path / "packages" / "sparkmagic" / "kernels" / "pysparkkernel"
    kernel.mkdir(parents=True)
    (kernel.parents[1] / "__init__.py").touch()
    (kernel / "logo-64x64.png").write_bytes(b"png")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "sparkmagic"}
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    yield tmp_path
    sys.modules.update(kept)


def test_the_kernel_runs_in_this_interpreter_and_reads_these_settings(fake_sparkmagic: Path) -> None:
    """The spec names this Python and the folder of the settings; one that is there stays, but for force."""
    made = install_kernel(fake_sparkmagic / "magic", force=False)
    assert made is not None
    spec = json.loads((made / "kernel.json").read_text())
    assert (sys.executable, str(fake_sparkmagic / "magic")) == (spec["argv"][0], spec["env"]["SPARKMAGIC_CONF_DIR"])
    assert (made / "logo-64x64.png").exists()
    (made / "kernel.json").write_text(json.dumps({**spec, "display_name": "mine"}))
    assert made == install_kernel(fake_sparkmagic / "magic", force=False)
    assert "mine" == json.loads((made / "kernel.json").read_text())["display_name"]
    install_kernel(fake_sparkmagic / "magic", force=True)
    assert "PySpark" == json.loads((made / "kernel.json").read_text())["display_name"]


@pytest.mark.process
def test_the_command_sets_up_this_service(
    shared_client: ServiceClient,
    shared_config: Config,
    fake_sparkmagic: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`nbplat kernel install --sparkmagic` writes address and token of the running service, and prints no token."""
    monkeypatch.setenv("NBPLAT_HOME", str(shared_config.home))
    folder = fake_sparkmagic / "magic"
    assert 0 == main(["kernel", "install", "--sparkmagic", "--folder", str(folder)])
    told = capsys.readouterr().out
    info = read_info(shared_config) or {}
    credentials = settings(folder)["kernel_python_credentials"]
    assert isinstance(credentials, dict)
    assert (info["url"], info["token"]) == (credentials["url"], credentials["password"])
    assert info["token"] not in told
    assert "kernel PySpark" in told
    assert 2 == main(["kernel", "install", "--sparkmagic", "--user", "--prefix", "x"])
    assert "two places" in capsys.readouterr().err
