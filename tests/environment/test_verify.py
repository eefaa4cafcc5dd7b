"""Finding and mending what somebody changed in built environments."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.ports import Channel
from nbplat.environment.verify import VerifyReport, repair, verify
from nbplat.errors import RemoteError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small, small_tools, unsaid

_SPECS = ("python", "nbplat-marker ==7.7.7", "prefixdemo", "greeter")


@pytest.fixture
def done(small_channel: SmallChannel, tmp_path: Path) -> BuildDone:
    """An environment that the test may damage."""
    return build_small(small_channel, tmp_path / "env", *_SPECS)


def _verify(channel: SmallChannel, done: BuildDone) -> VerifyReport:
    root = Path(done.ref.prefix).parent.parent
    return verify(small_tools(channel, root).store, [done.built], say=unsaid)


def _repair(channel: SmallChannel, done: BuildDone) -> VerifyReport:
    root = Path(done.ref.prefix).parent.parent
    return repair(_verify(channel, done), [done.built], small_tools(channel, root), folder=root, say=unsaid)


def test_fresh_environment_is_whole_after_it_was_used(done: BuildDone, small_channel: SmallChannel) -> None:
    """Compiled modules that running leaves behind are nobody's damage."""
    subprocess.run([done.ref.interpreter, "-c", "import nbplat_marker, json, csv"], check=True, timeout=30)
    report = _verify(small_channel, done)
    assert report.whole
    assert report.environments[0].files > 500
    assert 4 == report.packages_read


def test_every_kind_of_damage_is_found_and_named(done: BuildDone, small_channel: SmallChannel) -> None:
    """Changed, lost and added files are told with their package, files with a prefix in them too."""
    prefix = Path(done.ref.prefix)
    [site] = prefix.glob("lib/python*/site-packages")
    (prefix / "etc/demo.conf").write_text("root=/elsewhere\n")
    (site / "greeter/__init__.py").unlink()
    (prefix / "bin/prefixdemo").write_bytes(b"no program")
    (site / "stray-1.0.dist-info").mkdir()
    (site / "stray-1.0.dist-info/METADATA").write_text("Name: stray\n")
    [record] = prefix.glob("conda-meta/nbplat-marker-*.json")
    record.unlink()
    report = _verify(small_channel, done)
    name = site.relative_to(prefix).as_posix()
    found = {(one.package, one.file, one.what) for one in report.environments[0].damage}
    assert {
        ("", f"{name}/stray-1.0.dist-info", "added"),
        ("greeter", f"{name}/greeter/__init__.py", "missing"),
        ("nbplat-marker", f"conda-meta/{record.name}", "missing"),
        ("prefixdemo", "bin/prefixdemo", "changed"),
        ("prefixdemo", "etc/demo.conf", "changed"),
    } <= found
    assert not report.whole


def test_file_edited_in_an_environment_is_found_in_its_package_too(
    done: BuildDone, small_channel: SmallChannel
) -> None:
    """Environment and package share the file; both are named."""
    [module] = Path(done.ref.prefix).glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    module.write_text("evil = True\n")
    report = _verify(small_channel, done)
    assert ["nbplat-marker"] == [one.package for one in report.environments[0].damage]
    assert [("site-packages/nbplat_marker/__init__.py",)] == list(report.packages.values())


def test_repair_builds_the_damaged_environment_anew_in_its_place(done: BuildDone, small_channel: SmallChannel) -> None:
    """Afterwards environment and packages are whole, at the same path."""
    prefix = Path(done.ref.prefix)
    [module] = prefix.glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    module.write_text("evil = True\n")
    (prefix / "bin/greet").unlink()
    report = _repair(small_channel, done)
    assert report.whole
    assert [True] == [one.repaired for one in report.environments]
    assert _verify(small_channel, done).whole
    greeted = subprocess.run([prefix / "bin/greet"], capture_output=True, text=True, check=True, timeout=30)
    assert f"hello from {prefix}\n" == greeted.stdout
    assert "__version__" in module.read_text()


def test_repair_of_a_whole_environment_does_nothing(done: BuildDone, small_channel: SmallChannel) -> None:
    """What is whole is not built again."""
    before = Path(done.ref.prefix).stat().st_ino
    assert _repair(small_channel, done).whole
    assert before == Path(done.ref.prefix).stat().st_ino


def test_environment_that_cannot_be_repaired_stays(done: BuildDone, small_channel: SmallChannel) -> None:
    """When a package cannot be had again, the damaged environment is still there, as it was."""
    prefix = Path(done.ref.prefix)
    [module] = prefix.glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    module.write_text("evil = True\n")
    root = prefix.parent.parent
    away = replace(small_tools(small_channel, root), channels=(Channel("small", "file:///nowhere"),))
    with pytest.raises(RemoteError):
        repair(_verify(small_channel, done), [done.built], away, folder=root, say=unsaid)
    assert "evil = True\n" == module.read_text()
    assert away.store.built(done.ref.key) is not None
