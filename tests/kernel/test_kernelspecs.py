"""`nbplat kernel install|list|remove`: kernelspecs as Jupyter finds them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from nbplat.ui.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's data folder of the test's own."""
    # The wheel brings a spec of its own into the environment, which would come first.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere" / "share" / "jupyter"))
    return tmp_path


def test_the_kernel_is_registered_with_this_python(jupyter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Jupyter finds it with its logos; installing again is harmless, removing leaves nothing."""
    for _ in range(2):
        assert 0 == main(["kernel", "install"])
    spec = KernelSpecManager().get_kernel_spec("nbplat-spark")
    assert [sys.executable, "-m", "nbplat.ui.kernel"] == spec.argv[:3]
    logos = {path.name for path in Path(spec.resource_dir).glob("logo-*")}
    assert {"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"} == logos
    assert 0 == main(["kernel", "remove", "nbplat-spark"])
    assert not Path(spec.resource_dir).exists()
    assert "kernel nbplat-spark removed" in capsys.readouterr().out


def test_kernels_are_listed_with_what_they_run_in(jupyter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and environments', in any of Jupyter's places, and nobody else's."""
    assert 0 == main(["kernel", "install", "--name", "team", "--prefix", str(jupyter / "elsewhere")])
    folder = jupyter / "data" / "kernels" / "nbplat-ranker"
    folder.mkdir(parents=True)
    mark = {"nbplat": {"environment": "ranker", "key": "k", "lock": "l"}}
    (folder / "kernel.json").write_text(json.dumps({"argv": ["python"], "display_name": "ranker", "metadata": mark}))
    capsys.readouterr()
    assert 0 == main(["kernel", "list", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert {("nbplat-ranker", "environment ranker"), ("team", "session")} == {
        (each["name"], each["what"]) for each in shown if each["name"] != "nbplat-spark"
    }
    assert 2 == main(["kernel", "remove", "nbplat-ranker"])
    assert "nbplat env kernel ranker --remove" in capsys.readouterr().err
    assert 0 == main(["kernel", "remove", "team", "--prefix", str(jupyter / "elsewhere")])


def test_a_foreign_kernel_is_left_alone(jupyter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name is refused for ours, and it is not removed; a name that cannot be one is refused."""
    folder = jupyter / "data" / "kernels" / "theirs"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["x"], "display_name": "x"}')
    for words, said in (
        (["install", "--name", "theirs"], "not ours to replace"),
        (["install", "--name", "Not A Name"], "no name of a kernel"),
        (["remove", "theirs"], "no session kernel of ours"),
        (["remove", "nbplat-spakr"], "there is no kernel"),
        (["install", "--user", "--prefix", "x"], "two places"),
    ):
        assert 2 == main(["kernel", *words]), words
        assert said in capsys.readouterr().err
    assert '{"argv": ["x"], "display_name": "x"}' == (folder / "kernel.json").read_text()


def test_the_spec_that_the_wheel_brings_is_the_one_that_install_writes(jupyter: Path) -> None:
    """They differ in the interpreter alone: `python`, which Jupyter finds by itself, or this one by its path."""
    assert 0 == main(["kernel", "install"])
    written = json.loads((jupyter / "data" / "kernels" / "nbplat-spark" / "kernel.json").read_text())
    brought = json.loads((ROOT / "kernels" / "nbplat-spark" / "kernel.json").read_text())
    assert ("python", sys.executable) == (brought["argv"][0], written["argv"][0])
    brought["argv"][0] = sys.executable
    assert brought == written
