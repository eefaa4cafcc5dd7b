"""Checks a channel: every byte against the repodata and the packages' own lists, and that each can be solved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.channel.index import package_paths, repodata_of
from nbplat.adapters.conda.channel.read_package import faults_of, read_index
from nbplat.adapters.conda.child import run_child
from nbplat.environment.ports import Phase, Say
from nbplat.errors import NbplatError, NotFound
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = ["check_channel"]

_UNSOLVABLE = "nbplat.adapters.conda.channel.index_task:unsolvable"


def check_channel(folder: Path, say: Say) -> list[str]:
    """What is wrong, one sentence each, damage before what cannot be solved; empty: nothing.

    Raises:
        NotFound: ``env.channel.folder``: there is no channel.
    """
    subdirs = sorted(one.parent.name for one in folder.glob("*/repodata.json"))
    if not subdirs:
        raise NotFound(
            "env.channel.folder",
            f"there is no channel at {folder}",
            fix=f"make it: nbplat env channel make {folder}",
            where=str(folder),
        )
    found = []
    paths = package_paths(folder)
    for number, path in enumerate(paths):
        say(Phase("check", number, len(paths), "packages", path.name))
        record = repodata_of(folder, path.parent.name).get(path.name)
        found += [f"{path.parent.name}/{path.name}: {fault}" for fault in _faults(path, record)]
    there = {f"{path.parent.name}/{path.name}" for path in paths}
    for subdir in subdirs:
        found += [
            f"{subdir}/{name}: the repodata has it and the folder has not"
            for name in sorted(repodata_of(folder, subdir))
            if f"{subdir}/{name}" not in there
        ]
        found += _unlike(folder / subdir)
    return found or list(_unsolved(folder, subdirs, say))


def _faults(path: Path, record: dict[str, Any] | None) -> Iterator[str]:
    if record is None:
        yield "the repodata does not have it: make the channel again"
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != record.get("sha256") or path.stat().st_size != record.get("size"):
        yield "it is not the file of the repodata (sha256 or size differ)"
    yield from faults_of(path)
    try:
        index = read_index(path)
    except NbplatError:
        return
    keys = ("name", "version", "build", "build_number")
    # The index may spell a version of a need otherwise (2023.03 as 2023.3), so that needs are compared by name.
    if any(index.get(key) != record.get(key) for key in keys) or _needs(index) != _needs(record):
        yield "it says something else of itself than the repodata"


def _needs(record: dict[str, Any]) -> list[str]:
    return sorted(str(one).split(" ", 1)[0] for one in record.get("depends", ()))


def _unlike(folder: Path) -> Iterator[str]:
    import zstandard

    try:
        packed = zstandard.ZstdDecompressor().decompress((folder / "repodata.json.zst").read_bytes(), 1 << 30)
        if json.loads(packed) != json.loads((folder / "repodata.json").read_bytes()):
            yield f"{folder.name}/repodata.json.zst is not its repodata.json: make the channel again"
    except (OSError, ValueError, zstandard.ZstdError):
        yield f"{folder.name}/repodata.json.zst cannot be read: make the channel again"


def _unsolved(folder: Path, subdirs: list[str], say: Say) -> Iterator[str]:
    for platform in [one for one in subdirs if one != "noarch"]:
        records = [record for subdir in (platform, "noarch") for record in repodata_of(folder, subdir).values()]
        specs = sorted({f"{one['name']} =={one['version']}" for one in records})
        with ScratchFolder(None, "nbplat-repodata-") as cache:
            request = {"url": folder.as_uri(), "platform": platform, "specs": specs, "cache": str(cache)}
            for one in run_child(_UNSOLVABLE, request, say=say):
                yield f"{one['spec']} cannot be installed on {platform}: {_short(one['why'])}"


def _short(why: str) -> str:
    return " ".join(why.split()).removeprefix("Cannot solve the request because of:").strip()[:300]
