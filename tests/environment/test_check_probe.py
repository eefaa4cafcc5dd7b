"""What interpreters tell of themselves: the tests' own, a bare one, a built environment, another Python."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.interpreter.probe import probe_interpreter
from nbplat.environment.build import BuildDone
from nbplat.environment.check_engines import check_same_python
from nbplat.environment.check_machine import check_machine
from nbplat.environment.host import CPU_LEVELS, machine_of_probe
from nbplat.environment.sides import side_of_probe
from nbplat.environment.virtual import this_platform
from nbplat.errors import DataError, SetupError
from nbplat.remote.bundle import write_bundle
from nbplat.remote.probe import conda_platform, cpu_level, normal_name, probe
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.interpreters import make_venv


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return probe_interpreter(sys.executable, ["pandas", "sklearn", "json", "tomllib", "no_such_module_at_all"])


def test_our_own_interpreter_tells_what_the_library_knows(ours: dict[str, Any]) -> None:
    """Version, prefix, platform, packages and the distributions behind imports."""
    assert platform.python_version() == ours["python"]
    assert sys.prefix == ours["prefix"]
    assert this_platform() == ours["platform"]
    assert [version("numpy"), "", "pip"] == ours["packages"]["numpy"]
    assert ["pandas", version("pandas")] == ours["imports"]["pandas"]
    assert ["scikit-learn", version("scikit-learn")] == ours["imports"]["sklearn"]
    assert ["", ""] == ours["imports"]["json"] == ours["imports"]["tomllib"]
    assert ours["imports"]["no_such_module_at_all"] is None


def test_it_names_the_machine(ours: dict[str, Any]) -> None:
    """glibc and the CPU's level are those of this machine, and what wheels ask of glibc is met here."""
    machine = machine_of_probe(ours)
    libc, found = platform.libc_ver()
    assert (found if libc == "glibc" else "") == machine.virtual.get("__glibc", "")
    if platform.machine() == "x86_64":
        assert machine.virtual["__archspec"] in CPU_LEVELS
    assert ours["demands"]["pyarrow"][0].startswith("__glibc >=2.")
    assert [] == check_machine(side_of_probe("this Python", ours))


def test_our_own_machine_is_the_one_that_the_solver_sees(ours: dict[str, Any]) -> None:
    """Virtual packages have the versions that py-rattler detects."""
    from rattler import VirtualPackage

    theirs = {one.name.normalized: one for one in (each.into_generic() for each in VirtualPackage.detect())}
    mine = machine_of_probe(ours).virtual
    assert {*theirs} == {*mine}
    assert str(theirs["__linux"].version) == mine["__linux"]
    assert str(theirs["__glibc"].version) == mine["__glibc"]
    assert theirs["__archspec"].build_string in (mine["__archspec"], "native") or mine["__archspec"] in CPU_LEVELS


def test_a_bare_interpreter_lacks_what_it_lacks(tmp_path: Path) -> None:
    """A virtual environment with pyarrow alone: one package, and numpy cannot be imported."""
    record = probe_interpreter(str(make_venv(tmp_path / "venv", "pyarrow")), ["pyarrow", "numpy"])
    assert ["pyarrow"] == list(record["packages"])
    assert record["imports"]["numpy"] is None
    assert ["pyarrow", version("pyarrow")] == record["imports"]["pyarrow"]


def test_a_built_environment_tells_builds_and_demands(small_environment: BuildDone) -> None:
    """Conda packages are named once, with version, build and kind, and the lock's packages are all there."""
    record = probe_interpreter(small_environment.ref.interpreter, ["nbplat_marker", "greeter"])
    locked = {one.name: [one.version, one.build, "conda"] for one in small_environment.built.lock.conda}
    assert locked == record["packages"]
    assert ["nbplat-marker", "7.7.7"] == record["imports"]["nbplat_marker"]
    assert small_environment.ref.prefix == record["prefix"]


def test_a_package_that_asks_for_another_machine_is_found_in_the_built_environment(
    small_channel: SmallChannel, tmp_path: Path
) -> None:
    """What conda's records ask of the machine is told, and held against it."""
    ref = build_small(small_channel, tmp_path / "env", "python", name="plain").ref
    record = Path(ref.prefix, "conda-meta", "demanding-1.0-0.json")
    record.write_text(
        json.dumps(
            {
                "name": "demanding",
                "version": "1.0",
                "build": "0",
                "depends": ["python", "__glibc >=99"],
                "constrains": ["__cuda >=12"],
            }
        )
    )
    side = side_of_probe("the environment plain", probe_interpreter(ref.interpreter), name="plain")
    [finding] = check_machine(side)
    assert ("machine", "error", "demanding") == (finding.rule, finding.level, finding.package)


def other_pythons() -> list[str]:
    """Interpreters of other versions than ours on this machine."""
    names = [f"python3.{minor}" for minor in range(9, 16)]
    found = [path for name in names if (path := shutil.which(name)) is not None]
    return [path for path in found if f"python3.{sys.version_info.minor}" not in path]


def test_another_python_is_told_apart_before_any_job(tmp_path: Path) -> None:
    """A second interpreter where there is one, else the record of one, runs the same probe and does not fit."""
    for path in other_pythons():
        try:
            record = probe_interpreter(path)
        except SetupError:
            continue  # a shim of a version manager that leads nowhere
        break
    else:
        record = {**probe(), "python": "3.12.1"}
    other = side_of_probe("the other Python", record)
    [finding] = [
        one
        for one in check_same_python(side_of_probe("this Python", probe(packages=False)), other)
        if one.rule == "python"
    ]
    assert "error" == finding.level


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 3\n", "it gives no answer"),
        ("#!/bin/sh\necho broken >&2\nexit 1\n", "it gives no answer: broken"),
        ("not a program", "it cannot be started"),
    ],
)
def test_what_is_no_python_is_refused_with_what_it_said(tmp_path: Path, script: str, said: str) -> None:
    """A program that answers nothing, one that fails and a file that is no program."""
    fake = tmp_path / "python"
    fake.write_text(script)
    fake.chmod(0o755)
    with pytest.raises(SetupError) as caught:
        probe_interpreter(str(fake))
    assert "python.interpreter" == caught.value.code
    assert said in caught.value.message


def test_what_an_interpreter_prints_at_its_start_does_not_hide_the_answer(tmp_path: Path) -> None:
    """A `sitecustomize` that greets is read past."""
    python = make_venv(tmp_path / "venv", "numpy")
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "sitecustomize.py").write_text("print('welcome to the cluster')\n")
    assert "numpy" in probe_interpreter(str(python))["packages"]


def test_the_answer_of_another_form_is_refused() -> None:
    """Both sides must speak the same form of the probe."""
    with pytest.raises(DataError) as caught:
        side_of_probe("the workers", {**probe(), "probe": 99})
    assert "env.probe" == caught.value.code


def test_workers_run_it_from_the_bundle(tmp_path: Path) -> None:
    """In an interpreter without nbplat it is imported from the zip that workers are given."""
    python = make_venv(tmp_path / "venv", "numpy")
    code = (
        f"import sys; sys.path.insert(0, {write_bundle(str(tmp_path))!r})\n"
        "from nbplat.remote.probe import probe_rows\nprint(*probe_rows([1, 2]))"
    )
    said = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert str(tmp_path / "venv") == json.loads(said)["prefix"]


def test_a_foreign_file_among_conda_records_is_passed_over(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A half-written record does not hide the others."""
    ref = build_small(small_channel, tmp_path / "env", "python", name="torn").ref
    Path(ref.prefix, "conda-meta", "torn.json").write_text('{"name": "to')
    assert ["python"] == list(probe_interpreter(ref.interpreter)["packages"])


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("", "x86_64"),
        ("cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3", "x86_64_v2"),
        ("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave", "x86_64"),
        ("cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave", "x86_64_v3"),
        (
            "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave avx512f avx512bw"
            " avx512cd avx512dq avx512vl",
            "x86_64_v4",
        ),
    ],
)
def test_the_cpu_level_is_the_highest_whose_flags_are_all_there(flags: str, level: str) -> None:
    """A level counts only with those below it."""
    assert level == cpu_level(flags.split())


def test_names_are_those_of_conda_and_of_indexes() -> None:
    """Platforms by conda's names, distributions by their normal ones; what conda does not know is empty."""
    assert ("linux-aarch64", "osx-arm64", "win-64", "") == (
        conda_platform("linux", "aarch64"),
        conda_platform("darwin", "arm64"),
        conda_platform("win32", "AMD64"),
        conda_platform("sunos5", "i86pc"),
    )
    assert "scikit-learn" == normal_name("Scikit_Learn")
