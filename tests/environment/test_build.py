"""Building a locked environment into the store."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.conda.library import RattlerConda
from nbplat.environment.build import BuildDone, build
from nbplat.environment.find import find_environment
from nbplat.environment.lock_record import PlatformLock, environment_key
from nbplat.environment.ports import Channel, Phase
from nbplat.environment.store import Store
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small, lock_small, small_tools, unsaid


def _run(*command: object) -> str:
    return subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True, timeout=60).stdout


def test_environment_runs_with_its_own_prefix_in_every_kind_of_file(small_environment: BuildDone) -> None:
    """Interpreter, compiled program, script, noarch entry point and console script run and know where they are."""
    prefix = Path(small_environment.ref.prefix)
    print_prefix = "import sys, nbplat_marker; print(sys.prefix, nbplat_marker.__version__)"
    assert f"{prefix} 7.7.7\n" == _run(prefix / "bin/python", "-I", "-c", print_prefix)
    assert f"{prefix}/etc/demo.conf\nroot={prefix}\n" == _run(prefix / "bin/prefixdemo")
    assert f"shebang ok {prefix}\n" == _run(prefix / "bin/demo.sh")
    assert f"hello from {prefix}\n" == _run(prefix / "bin/greet")
    assert "a b c\n" == _run(prefix / "bin/spell", "abc")


def test_reference_says_what_was_built(small_environment: BuildDone, small_channel: SmallChannel) -> None:
    """The reference holds name, key, platform, lock digest and the full version of Python."""
    ref, built = small_environment.ref, small_environment.built
    assert ("demo", small_channel.platform, small_channel.python) == (ref.name, ref.platform, ref.python)
    assert environment_key(built.lock) == ref.key
    assert f"{ref.prefix}/bin/python" == ref.interpreter
    assert not small_environment.found


def test_files_are_hard_links_to_the_packages_of_the_store(small_environment: BuildDone) -> None:
    """A file without a prefix in it has one copy on the disk, in the package and in the environment."""
    prefix = Path(small_environment.ref.prefix)
    store = Store(prefix.parent.parent)
    [marker] = [one for one in small_environment.built.lock.conda if one.name == "nbplat-marker"]
    [cached] = (store.pkgs / marker.sha256).glob("*/site-packages/nbplat_marker/__init__.py")
    [linked] = prefix.glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    assert cached.stat().st_ino == linked.stat().st_ino
    assert small_environment.built.linked


def test_conda_records_are_what_conda_tools_read(small_environment: BuildDone) -> None:
    """Every package has a readable record, the history names them and what was asked for, and no cache tag is left."""
    from conda_pack import CondaEnv

    prefix = Path(small_environment.ref.prefix)
    records = {path: json.loads(path.read_text()) for path in (prefix / "conda-meta").glob("*.json")}
    assert {one.name for one in small_environment.built.lock.conda} == {one["name"] for one in records.values()}
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in records)
    [marker] = [one for one in records.values() if one["name"] == "nbplat-marker"]
    assert ["nbplat-marker ==7.7.7"] == marker["requested_specs"]
    history = (prefix / "conda-meta/history").read_text()
    assert "+small/noarch::nbplat-marker-7.7.7-" in history
    assert '"nbplat-marker ==7.7.7"' in history
    assert not (prefix / "CACHEDIR.TAG").exists()
    packed = {file.target for file in CondaEnv.from_prefix(str(prefix))}
    assert {"bin/prefixdemo", "bin/greet"} <= packed


def test_second_build_of_a_key_finds_the_first(small_channel: SmallChannel, tmp_path: Path) -> None:
    """The same lock again asks nothing of the library and takes milliseconds."""
    lock = lock_small(small_channel, "nbplat-marker ==7.7.7", "python")
    tools = small_tools(small_channel, tmp_path / "env")
    first = build(lock, "", tools, folder=tmp_path, say=unsaid)
    said: list[Phase] = []
    again = build(lock, "", tools, folder=tmp_path, say=said.append)
    assert (False, True) == (first.found, again.found)
    assert first.ref == again.ref
    assert [] == said
    assert again.seconds < 0.5


def test_another_environment_links_the_same_packages(small_channel: SmallChannel, tmp_path: Path) -> None:
    """What two environments share is fetched once and lies on the disk once."""
    first = build_small(small_channel, tmp_path / "env", "python", "nbplat-marker ==7.7.7")
    second = build_small(small_channel, tmp_path / "env", "python", "nbplat-marker ==8.8.8", name="other")
    assert ("nbplat-marker", "python") == first.installed.fetched
    assert ("nbplat-marker",) == second.installed.fetched
    python = "bin/python" + ".".join(small_channel.python.split(".")[:2])
    assert Path(first.ref.prefix, python).stat().st_ino == Path(second.ref.prefix, python).stat().st_ino


def test_progress_tells_every_byte_and_package(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Fetched bytes end at the sum of the packages' sizes, linked packages at their count."""
    lock = lock_small(small_channel, "python", "greeter")
    said: list[Phase] = []
    build(lock, "", small_tools(small_channel, tmp_path / "env"), folder=tmp_path, say=said.append)
    total = sum(one.size for one in lock.platforms[small_channel.platform].conda)
    last = {phase.name: phase for phase in said}
    assert (total, total, "B") == (last["fetch"].done, last["fetch"].total, last["fetch"].unit)
    assert (2, 2, "packages") == (last["install"].done, last["install"].total, last["install"].unit)
    assert {"fetch", "install", "check"} == set(last)


def test_imports_of_what_was_asked_for_are_tried(small_channel: SmallChannel, tmp_path: Path) -> None:
    """The check names the packages of the declaration that have modules, and not the others."""
    said: list[Phase] = []
    lock = lock_small(small_channel, "python", "speller", "prefixdemo")
    build(lock, "", small_tools(small_channel, tmp_path / "env"), folder=tmp_path, say=said.append)
    assert ["python", "speller"] == [one.what for one in said if one.name == "check" and one.what]


def test_environment_of_another_platform_is_built_but_not_started(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Packages of another platform are linked for it; its name means this machine's environment where there is one."""
    here = lock_small(small_channel, "python")
    there = RattlerConda(tmp_path / "repodata").solve(
        ["python"], [Channel("small", small_channel.url)], "osx-arm64", {"__osx": "13.0"}, offline=False, say=unsaid
    )
    both = replace(here, platforms={**here.platforms, "osx-arm64": PlatformLock("osx-arm64", {}, there)})
    tools = small_tools(small_channel, tmp_path / "env")
    build(both, "", tools, folder=tmp_path, say=unsaid)
    mac = build(both, "osx-arm64", tools, folder=tmp_path, say=unsaid)
    assert "stub\n" == Path(mac.ref.interpreter).read_text()
    assert small_channel.platform == find_environment(tools.store, "demo").platform
    assert "osx-arm64" == find_environment(tools.store, "demo", platform="osx-arm64").platform


def test_environment_that_was_cleared_by_hand_is_built_again(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A folder without its interpreter is no environment, whatever else lies in it."""
    first = build_small(small_channel, tmp_path / "env", "python")
    shutil.rmtree(Path(first.ref.prefix) / "bin")
    again = build_small(small_channel, tmp_path / "env", "python")
    assert not again.found
    assert first.ref == again.ref


@pytest.mark.parametrize("folder", ["a folder with spaces", "x" * 60], ids=["spaces", "long"])
def test_paths_that_a_script_cannot_name_in_its_first_line_work(
    small_channel: SmallChannel, tmp_path: Path, folder: str
) -> None:
    """Entry points and scripts start where the kernel would cut or split the path of their interpreter."""
    done = build_small(small_channel, tmp_path / folder / "env", "python", "greeter", "speller", "prefixdemo")
    prefix = Path(done.ref.prefix)
    assert f"hello from {prefix}\n" == _run(prefix / "bin/greet")
    assert "a b\n" == _run(prefix / "bin/spell", "ab")
    assert f"shebang ok {prefix}\n" == _run(prefix / "bin/demo.sh")
    assert f"{prefix}/etc/demo.conf\nroot={prefix}\n" == _run(prefix / "bin/prefixdemo")
