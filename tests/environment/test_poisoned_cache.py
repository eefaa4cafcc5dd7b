"""Packages in the store that somebody changed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from rattler.index import index_fs

from nbplat.environment.build import build
from nbplat.environment.package_files import FILES_LIST
from nbplat.environment.store import Store
from nbplat.errors import RemoteError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small, lock_small, small_tools, unsaid


def _package(root: Path, name: str, version: str = "") -> Path:
    """Folder of an extracted package."""
    [found] = [
        path for path in Store(root).pkgs.glob("*/*") if path.is_dir() and path.name.startswith(f"{name}-{version}")
    ]
    return found


def test_edited_file_of_a_stored_package_is_repaired_and_named(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A file edited in place, even with its old time and length, does not reach the next environment."""
    root = tmp_path / "env"
    first = build_small(small_channel, root, "python", "nbplat-marker ==7.7.7")
    [module] = _package(root, "nbplat-marker").glob("site-packages/nbplat_marker/__init__.py")
    text, times = module.read_text(), module.stat()
    module.write_text(text.replace("7.7.7", "6.6.6"))
    os.utime(module, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = build_small(small_channel, root, "python", "nbplat-marker ==7.7.7", "greeter")
    assert {"nbplat-marker": ("site-packages/nbplat_marker/__init__.py",)} == dict(second.installed.repaired)
    [installed] = Path(second.ref.prefix).glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    assert text == installed.read_text()
    # The first environment shares the edited file: `verify` finds it there.
    [poisoned] = Path(first.ref.prefix).glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    assert text != poisoned.read_text()


@pytest.mark.parametrize("what", ["file gone", "list gone", "paths edited", "other package"])
def test_damaged_package_is_fetched_again(small_channel: SmallChannel, tmp_path: Path, what: str) -> None:
    """Whatever was done to a stored package, the environment gets the one of the lock."""
    root = tmp_path / "env"
    build_small(small_channel, root, "python", "nbplat-marker ==8.8.8")
    package = _package(root, "nbplat-marker")
    if what == "file gone":
        next(package.glob("site-packages/nbplat_marker/__init__.py")).unlink()
    elif what == "list gone":
        (package.parent / FILES_LIST).unlink()
    elif what == "paths edited":
        paths = package / "info/paths.json"
        found = json.loads(paths.read_text())
        found["paths"] = found["paths"][:1]
        paths.write_text(json.dumps(found))
    else:
        shutil.rmtree(package)
        package.mkdir()
    done = build_small(small_channel, root, "python", "nbplat-marker ==8.8.8", "greeter")
    assert "nbplat-marker" in done.installed.fetched
    [installed] = Path(done.ref.prefix).glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    assert '__version__ = "8.8.8"\n' == installed.read_text()


def test_damaged_package_that_cannot_be_fetched_is_refused(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Without a whole copy anywhere nothing is installed, and the damaged one is kept for those who look into it."""
    root = tmp_path / "env"
    gone = small_channel.copy(tmp_path / "channel")
    build_small(gone, root, "python", "nbplat-marker ==7.7.7")
    lock = lock_small(gone, "python", "nbplat-marker ==7.7.7", "greeter")
    [module] = _package(root, "nbplat-marker").glob("site-packages/nbplat_marker/__init__.py")
    module.write_text("evil = True\n")
    gone.package("nbplat-marker-7.7.7").unlink()
    with pytest.raises(RemoteError) as caught:
        build(lock, "", small_tools(gone, root), folder=root, say=unsaid)
    assert "nbplat-marker-7.7.7" in caught.value.message
    assert 1 == len(Store(root).every())
    assert module.exists()


def test_same_name_with_other_bytes_is_another_package(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Two channels with different files of one name, version and build do not get into each other's way."""
    root = tmp_path / "env"
    build_small(small_channel, root, "python", "nbplat-marker ==7.7.7")
    other = small_channel.copy(tmp_path / "channel")
    package = other.package("nbplat-marker-7.7.7")
    _comment(package)
    for repodata in other.folder.glob("*/repodata*"):
        repodata.unlink() if repodata.is_file() else shutil.rmtree(repodata)
    asyncio.run(index_fs(other.folder))
    done = build(
        lock_small(other, "python", "nbplat-marker ==7.7.7", name="other"),
        "",
        small_tools(other, root),
        folder=root,
        say=unsaid,
    )
    assert not done.found
    assert ("nbplat-marker",) == done.installed.fetched
    assert {} == dict(done.installed.repaired)


def _comment(package: Path) -> None:
    """Change the bytes of a package, not what is in it."""
    with zipfile.ZipFile(package, "a") as file:
        file.comment = b"other"
