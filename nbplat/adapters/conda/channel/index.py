"""Indexes a channel folder beside itself and moves the result into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.child import run_child
from nbplat.environment.ports import Say

__all__ = ["index_channel", "package_paths", "repodata_of"]

_INDEX = "nbplat.adapters.conda.channel.index_task:index"
_SUFFIXES = (".conda", ".tar.bz2")


def package_paths(folder: Path) -> list[Path]:
    """The package files of a channel, in order of platform and name."""
    return sorted(one for one in folder.glob("*/*") if one.name.endswith(_SUFFIXES) and one.parent.name[0] != ".")


def repodata_of(folder: Path, subdir: str) -> dict[str, dict[str, Any]]:
    """The records of a platform by file name; empty when there is no readable ``repodata.json``."""
    try:
        told = json.loads((folder / subdir / "repodata.json").read_text(encoding="utf-8"))
        return {**told.get("packages", {}), **told.get("packages.conda", {})}
    except (OSError, ValueError, AttributeError):
        return {}


def index_channel(folder: Path, scratch: Path, subdirs: Iterable[str] = (), *, say: Say = lambda phase: None) -> None:
    """Write ``repodata.json`` (and its ``.zst``) of every platform of a channel.

    The index is made in `scratch` over hard links of the packages and each file renamed into place, so that readers
    and a kill never meet half of one.

    Args:
        subdirs: Platforms that the channel has even without a package; ``noarch`` always is.
    """
    stage = scratch / "index"
    shutil.rmtree(stage, ignore_errors=True)
    for subdir in {*subdirs, "noarch"}:
        (stage / subdir).mkdir(parents=True)
    for package in package_paths(folder):
        target = stage / package.parent.name / package.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(package, target)
    run_child(_INDEX, {"folder": str(stage)}, say=say)
    for made in sorted(stage.glob("*/repodata.json*"), key=lambda one: (one.suffix == ".json", str(one))):
        target = folder / made.parent.name / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
    shutil.rmtree(stage, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
