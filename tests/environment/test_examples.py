"""The declarations in `envs/`: their locks hold, and a build of them runs, or is refused with what to do."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.compose import Platform, open_platform
from nbplat.config import load_config
from nbplat.environment.channel.lacking import lacking_of_lock
from nbplat.environment.channel.request import ChannelRequest
from nbplat.environment.channel.requirements import read_requirements
from nbplat.environment.definition_file import read_file
from nbplat.environment.lock_check import check_lock
from nbplat.environment.lock_file import read_lock
from nbplat.environment.ports import Phase
from nbplat.errors import NbplatError
from nbplat.ui.cli import main
from tests.environment.test_channel_small import run

ENVS = Path(__file__).parents[2] / "envs"
NAMES = sorted(one.stem for one in ENVS.glob("*.yml"))


def test_there_are_three() -> None:
    """Each example has its lock."""
    assert ["features", "notebook", "sequences"] == NAMES
    assert NAMES == sorted(one.stem for one in ENVS.glob("*.lock"))


@pytest.mark.parametrize("name", NAMES)
def test_locks_are_up_to_date(name: str) -> None:
    """The lock of an example is what its declaration asks for, its local package's source included."""
    assert () == check_lock(read_file(ENVS / f"{name}.yml"), read_lock(ENVS / f"{name}.lock"))


@pytest.mark.parametrize("name", NAMES)
def test_locks_hold_no_path_of_a_machine(name: str) -> None:
    """A lock names channels and folders as declared, relative to itself."""
    text = (ENVS / f"{name}.lock").read_text()
    assert [] == re.findall(r"(?:file:|[\s:]/)\S+", text)
    assert "./channel" in text


@pytest.mark.parametrize("name", NAMES)
def test_channel_list_has_what_the_examples_need(name: str) -> None:
    """`envs/channel.txt`, of which `make envs` makes the channel, names each package that an example declares."""
    listed = {one.requirement.name for one in read_requirements(ENVS / "channel.txt")}
    declared = {re.split(r"[ <>=]", spec)[0] for spec in read_file(ENVS / f"{name}.yml").dependencies}
    assert declared <= {*listed, "python"}


def _quiet(_: Phase) -> None:
    pass


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    options = {"home": str(tmp_path / "home")}
    return open_platform(load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml"))


def test_features_are_built_from_their_lock(platform: Platform, tmp_path: Path) -> None:
    """From a channel of this machine: the committed lock builds where Python is the same build; elsewhere the build is
    refused with both builds named, and solving again makes it one that builds.
    """
    envs = tmp_path / "project" / "envs"
    envs.mkdir(parents=True)
    for suffix in ("yml", "lock"):
        shutil.copy(ENVS / f"features.{suffix}", envs)
    definition, lock = read_file(envs / "features.yml"), read_lock(envs / "features.lock")
    environments = platform.environments
    with pytest.raises(NbplatError, match=r"there is no channel at \./channel yet"):
        environments.build(lock, folder=definition.folder, say=_quiet)
    asked = ChannelRequest(envs / "channel", installed=("numpy", "pandas", "pyarrow"))
    platform.make_channel(asked, _quiet)
    if lacking_of_lock(lock, envs):
        with pytest.raises(NbplatError, match=r"in another build than the lock|no longer has") as caught:
            environments.build(lock, folder=definition.folder, say=_quiet)
        assert "lock again with `nbplat env lock`" in caught.value.fix
        if sys.version_info[:2] != (3, 11):
            with pytest.raises(NbplatError, match="python"):
                environments.lock(definition, old=lock, say=_quiet)
            return
        lock = environments.lock(definition, old=lock, say=_quiet)
    done = environments.build(lock, folder=definition.folder, say=_quiet)
    program = "import pyarrow as pa; print(pa.table({'x': [1, 2]}).to_pandas()['x'].sum())"
    assert "3\n" == run(done.ref.interpreter, "-c", program)
    assert [] == platform.check_channel(envs / "channel", _quiet)


def test_another_build_of_python_is_named(platform: Platform, tmp_path: Path) -> None:
    """Where the channel's Python is another build than the lock's, the refusal names both, and nothing is built."""
    envs = tmp_path / "envs"
    (envs / "channel" / "linux-64").mkdir(parents=True)
    (envs / "channel" / "linux-64" / "repodata.json").write_text("{}")
    shutil.copy(ENVS / "features.lock", envs)
    lock = read_lock(envs / "features.lock")
    python = next(one for one in lock.platforms["linux-64"].conda if one.name == "python")
    other = f"python-{python.version}-h00000000_0_cpython.conda"
    (envs / "channel" / "linux-64" / other).write_bytes(b"")
    assert any(
        f"has python-{python.version} in other builds than the lock" in one for one in lacking_of_lock(lock, envs)
    )
    alone = replace(lock.platforms["linux-64"], conda=(python,))
    with pytest.raises(NbplatError) as caught:
        platform.environments.build(replace(lock, platforms={"linux-64": alone}), folder=str(envs), say=_quiet)
    assert "env.channel" == caught.value.code
    assert f"another build than the lock: h00000000_0_cpython, not {python.build}." in caught.value.message
    assert [] == list((tmp_path / "home").glob("env/envs/*"))


def test_check_notes_what_the_channel_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`nbplat env lock --check` passes without the channel, since the lock fits its declaration, and says so."""
    (tmp_path / "envs").mkdir()
    for suffix in ("yml", "lock"):
        shutil.copy(ENVS / f"features.{suffix}", tmp_path / "envs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBPLAT_HOME", str(tmp_path / "home"))
    assert 0 == main(["env", "lock", "--check"])
    assert ["features up to date envs/features.lock", "  note: there is no channel at ./channel yet"] == (
        capsys.readouterr().out.splitlines()
    )
