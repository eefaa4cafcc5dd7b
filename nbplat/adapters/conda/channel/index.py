"""Indexes a channel folder: py-rattler, in a child process, beside the channel, then moved into place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from nbplat.errors import SetupError

__all__ = ["index_channel"]

# Its exit status is not trusted: the runtime of the library may end badly after good work.
_CHILD = """
import asyncio, pathlib, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_shards=False, force=True))
pathlib.Path(sys.argv[2]).write_text("done")
"""
_LIMIT_S = 600


def index_channel(folder: Path, scratch: Path) -> None:
    """Write ``repodata.json`` (and its ``.zst``) of every platform of a channel.

    The index is made in `scratch` over hard links of the packages and each file renamed into place, so that readers
    and a kill never meet half of one.

    Raises:
        SetupError: ``env.channel.index``: the library failed.
    """
    stage, done = scratch / "index", scratch / "index.done"
    shutil.rmtree(stage, ignore_errors=True)
    done.unlink(missing_ok=True)
    (folder / "noarch").mkdir(parents=True, exist_ok=True)
    for package in sorted(folder.glob("*/*.conda")):
        target = stage / package.parent.name / package.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(package, target)
    (stage / "noarch").mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, str(stage), str(done)],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if not done.exists():
        raise SetupError(
            "env.channel.index",
            f"the index of the channel could not be made: {ran.stderr.strip()[-300:] or f'exit {ran.returncode}'}",
            fix="check that the disk has space, then run the same command again",
            where=str(folder),
        )
    for made in sorted(stage.glob("*/repodata*"), key=lambda one: (one.name == "repodata.json", str(one))):
        made.replace(folder / made.parent.name / made.name)
    shutil.rmtree(stage, ignore_errors=True)
    done.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
