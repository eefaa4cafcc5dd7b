"""Naming the source of a local package by what a build reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbplat.environment.source_hash import source_hash
from nbplat.errors import RequestError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small package."""
    folder = tmp_path / "source"
    (folder / "core").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'core'\n")
    (folder / "core" / "__init__.py").write_text("")
    (folder / "core" / "run.sh").write_text("echo\n")
    return folder


def test_time_place_and_leftovers_do_not_count(source: Path, tmp_path: Path) -> None:
    """Touched, moved, tested and built once: still the same source."""
    before = source_hash(source)
    os.utime(source / "pyproject.toml", (0, 0))
    for name in ("build/lib/x.py", "dist/x.whl", "core/__pycache__/x.pyc", ".git/HEAD", "core.egg-info/PKG-INFO"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    moved = source.rename(tmp_path / "moved")
    assert before == source_hash(moved)


@pytest.mark.parametrize("change", ["bytes", "name", "mode", "new", "link", "inner build"])
def test_every_change_that_a_build_sees_counts(source: Path, change: str) -> None:
    """Bytes, names, the executable bit, new files, links, and a folder of the package that is called build."""
    before = source_hash(source)
    if change == "bytes":
        (source / "core" / "__init__.py").write_text("x = 1\n")
    elif change == "name":
        (source / "core" / "run.sh").rename(source / "core" / "go.sh")
    elif change == "mode":
        (source / "core" / "run.sh").chmod(0o755)
    elif change == "new":
        (source / "core" / "more.py").write_text("")
    elif change == "link":
        (source / "core" / "link").symlink_to("run.sh")
    else:
        (source / "core" / "build").mkdir()
        (source / "core" / "build" / "__init__.py").write_text("")
    assert before != source_hash(source)


def test_what_cannot_be_installed_is_refused(tmp_path: Path) -> None:
    """A folder without a project is no package."""
    with pytest.raises(RequestError) as caught:
        source_hash(tmp_path)
    assert "env.local" == caught.value.code
