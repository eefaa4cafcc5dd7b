"""Kernels and sparkmagic's settings as `nbplat doctor` sees them, once as they should be and once broken."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbplat.service.discovery import write_info
from nbplat.ui.doctor.kernels import check_kernels, check_sparkmagic
from nbplat.ui.kernel.specs import write_spark_kernel
from nbplat.ui.sparkmagic_config import write_config
from tests.doctor.asked import FAULT, NOT_NEEDED, OK, config, configured, write

__all__ = ["config"]


@pytest.fixture
def empty_python(tmp_path: Path) -> str:
    """A Python without any package of ours, as after an upgrade of the one that a kernel was made with."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_kernels(tmp_path):
    """A kernel of ours whose Python has gone is a fault; others' kernels are theirs."""
    data = [str(tmp_path)]
    write(tmp_path / "kernels" / "other" / "kernel.json", {"argv": ["/not/there"]})
    assert NOT_NEEDED is check_kernels(data).verdict
    spec = tmp_path / "kernels" / "nbplat-features" / "kernel.json"
    write(spec, {"argv": [sys.executable, "-m", "ipykernel_launcher"]})
    assert (OK, "nbplat-features") == ((said := check_kernels(data)).verdict, said.text)
    write(spec, {"argv": [str(tmp_path / "gone" / "python")]})
    assert (FAULT, "jupyter kernelspec remove nbplat-features") == ((said := check_kernels(data)).verdict, said.mend)


def test_a_kernel_whose_python_lacks_nbplat(tmp_path, empty_python):
    """It is a fault that names the Python, what it cannot import, and the command for either way out."""
    write_spark_kernel(tmp_path / "kernels")
    assert (OK, "nbplat-spark") == ((said := check_kernels([str(tmp_path)])).verdict, said.text)
    file = write_spark_kernel(tmp_path / "kernels", name="mine").path + "/kernel.json"
    spec = json.loads(Path(file).read_text())
    write(Path(file), {**spec, "argv": [empty_python, *spec["argv"][1:]]})
    said = check_kernels([str(tmp_path)])
    assert (FAULT, True) == (said.verdict, "No module named 'nbplat'" in said.text), said.text
    assert f"{empty_python} -m pip install nbplat, or jupyter kernelspec remove mine" == said.mend


def test_a_nearer_kernel_hides_one_of_the_same_name(tmp_path):
    """What Jupyter would not start is not looked at."""
    write_spark_kernel(tmp_path / "near" / "kernels")
    write(tmp_path / "far" / "kernels" / "nbplat-spark" / "kernel.json", {"argv": ["/not/there"]})
    assert OK is check_kernels([str(tmp_path / "near"), str(tmp_path / "far")]).verdict
    assert FAULT is check_kernels([str(tmp_path / "far"), str(tmp_path / "near")]).verdict


def test_settings_of_sparkmagic(config, tmp_path):
    """A token that the service would refuse, and a file that others can read, are faults."""
    where = {"SPARKMAGIC_CONF_DIR": str(tmp_path)}
    assert NOT_NEEDED is check_sparkmagic(config, where).verdict
    write_info(config, {"url": "http://127.0.0.1:4040", "token": "t0ken"})
    file, _ = write_config(tmp_path, "http://127.0.0.1:4040", "t0ken", force=False)
    assert OK is check_sparkmagic(config, where).verdict
    file.chmod(0o644)
    assert (FAULT, f"chmod 600 {file}") == ((said := check_sparkmagic(config, where)).verdict, said.mend)
    write_config(tmp_path, "http://127.0.0.1:4040", "an older one", force=False)
    said = check_sparkmagic(config, where)
    assert (FAULT, "nbplat kernel install --sparkmagic") == (said.verdict, said.mend)
    assert "t0ken" not in said.text
    file.write_text("{ half")
    assert FAULT is check_sparkmagic(config, where).verdict


def test_settings_for_another_service(config, tmp_path):
    """Whoever uses sparkmagic with another service, or none, is left alone."""
    where = {"SPARKMAGIC_CONF_DIR": str(tmp_path)}
    write_config(tmp_path, "https://livy.company", "pa55", force=False)
    said = check_sparkmagic(config, where)
    assert (NOT_NEEDED, True, False) == (said.verdict, "https://livy.company" in said.text, "pa55" in said.text)
    (tmp_path / "token").write_text("pa55")
    team = configured(tmp_path, service__url="https://livy.company", service__token_file=str(tmp_path / "token"))
    assert OK is check_sparkmagic(team, where).verdict
