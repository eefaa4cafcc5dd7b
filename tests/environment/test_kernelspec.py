"""Environments as Jupyter kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel

from nbplat.clock import SystemClock
from nbplat.environment.build import BuildDone
from nbplat.environment.kernel import KernelSpec, kernels_of, remove_kernel, user_kernels, write_kernel
from nbplat.environment.references import reasons
from nbplat.environment.store import Store
from nbplat.errors import Conflict, NotFound, RequestError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small


@pytest.fixture(scope="module")
def done(small_channel: SmallChannel, tmp_path_factory: pytest.TempPathFactory) -> BuildDone:
    """An environment that says it can run notebooks."""
    made = build_small(small_channel, tmp_path_factory.mktemp("store") / "env", "python", "nbplat-marker ==7.7.7")
    [site] = Path(made.ref.prefix).glob("lib/python*/site-packages")
    launcher = "import json, sys, nbplat_marker\nprint(json.dumps([sys.prefix, nbplat_marker.__version__]))\n"
    (site / "ipykernel_launcher.py").write_text(launcher)
    return made


def _write(done: BuildDone, kernels: Path, **options: str) -> KernelSpec:
    store = Store(Path(done.ref.prefix).parent.parent)
    return write_kernel(done.ref, store, SystemClock(), kernels=kernels, **options)


def test_kernel_starts_the_interpreter_of_the_environment(done: BuildDone, tmp_path: Path) -> None:
    """What Jupyter finds under the name runs in the environment, with the environment's programs first."""
    spec = _write(done, tmp_path / "kernels")
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")])
    manager.ensure_native_kernel = False
    assert {"nbplat-demo": str(tmp_path / "kernels/nbplat-demo")} == manager.find_kernel_specs()
    found = manager.get_kernel_spec("nbplat-demo")
    assert spec.display_name == found.display_name
    assert done.ref.python in found.display_name
    command = [one.replace("{connection_file}", "x.json") for one in found.argv]
    started = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path)
    assert [done.ref.prefix, "7.7.7"] == json.loads(started.stdout)
    assert f"{done.ref.prefix}/bin:${{PATH}}" == found.env["PATH"]
    assert "1" == found.env["PYTHONNOUSERSITE"]


def test_environment_without_ipykernel_is_refused(small_environment: BuildDone, tmp_path: Path) -> None:
    """The refusal gives the commands that add it; nothing is written."""
    with pytest.raises(RequestError) as caught:
        _write(small_environment, tmp_path / "kernels")
    assert "env.kernel" == caught.value.code
    assert "nbplat env add demo ipykernel" in caught.value.fix
    assert not (tmp_path / "kernels").exists()


def test_kernel_keeps_its_environment_until_it_is_removed(done: BuildDone, tmp_path: Path) -> None:
    """The store knows of the kernel as long as its file is there."""
    store = Store(Path(done.ref.prefix).parent.parent)
    _write(done, tmp_path / "kernels", name="mine", display_name="Mine")
    assert "the kernel mine starts it" in [one.text for one in reasons(store)[done.ref.key]]
    assert ["mine"] == [one.name for one in kernels_of(tmp_path / "kernels", "demo")]
    removed = remove_kernel(store, "mine", kernels=tmp_path / "kernels")
    assert "Mine" == removed.display_name
    assert not (tmp_path / "kernels/mine").exists()
    assert "the kernel mine starts it" not in [one.text for one in reasons(store)[done.ref.key]]


def test_kernel_of_somebody_else_is_never_touched(done: BuildDone, tmp_path: Path) -> None:
    """A name that another kernel has is refused for writing and for removing."""
    theirs = tmp_path / "kernels/theirs"
    theirs.mkdir(parents=True)
    (theirs / "kernel.json").write_text('{"argv": ["R"], "display_name": "R", "language": "R"}')
    store = Store(Path(done.ref.prefix).parent.parent)
    with pytest.raises(Conflict):
        _write(done, tmp_path / "kernels", name="theirs")
    with pytest.raises(Conflict):
        remove_kernel(store, "theirs", kernels=tmp_path / "kernels")
    with pytest.raises(NotFound) as caught:
        remove_kernel(store, "their", kernels=tmp_path / "kernels")
    assert "env.kernel" == caught.value.code
    assert ["R"] == json.loads((theirs / "kernel.json").read_text())["argv"]


def test_odd_names_are_refused(done: BuildDone, tmp_path: Path) -> None:
    """A name with a slash in it would lead out of the folder of kernels."""
    with pytest.raises(RequestError) as caught:
        _write(done, tmp_path / "kernels", name="../x")
    assert "env.kernel" == caught.value.code


@pytest.mark.parametrize(
    "environ", [{}, {"XDG_DATA_HOME": "/data"}, {"JUPYTER_DATA_DIR": "/jupyter"}], ids=["home", "xdg", "jupyter"]
)
def test_users_kernels_lie_where_jupyter_looks(environ: dict[str, str]) -> None:
    """The folder is the one that Jupyter's own library names in the same environment."""
    ask = "from jupyter_core.paths import jupyter_data_dir; print(jupyter_data_dir())"
    whole = {"HOME": "/home/someone", "PATH": "/usr/bin:/bin", "JUPYTER_PLATFORM_DIRS": "0", **environ}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ask], env=whole, capture_output=True, text=True, check=True, timeout=30
    )
    assert Path(told.stdout.strip()) / "kernels" == user_kernels(whole)


@pytest.mark.kernel
def test_cells_run_in_the_environment(
    kernel_channel: SmallChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real kernel, started by its name, answers from the environment and finds its programs."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = build_small(kernel_channel, tmp_path / "env", "python", "nbplat-marker ==7.7.7", "ipykernel", imports=True)
    spec = _write(done, user_kernels())
    code = "import sys, shutil, nbplat_marker as m; print(sys.prefix, m.__version__, shutil.which('python'))"
    manager, client = start_new_kernel(kernel_name=spec.name, startup_timeout=60)
    try:
        printed: list[str] = []
        client.execute_interactive(code, timeout=30, output_hook=lambda message: printed.append(_text(message)))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert f"{done.ref.prefix} 7.7.7 {done.ref.interpreter}\n" == "".join(printed)


def _text(message: dict[str, Any]) -> str:
    return str(message["content"].get("text", "")) if message["msg_type"] == "stream" else ""
