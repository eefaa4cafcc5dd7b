"""Indexing and trial solves of a channel, in the child."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.child_main import Tell

__all__ = ["index", "unsolvable"]


def index(request: dict[str, Any], tell: Tell) -> int:
    """Write ``repodata.json`` and its ``.zst`` into every platform folder of ``folder``; how many packages they have.

    The library writes the time of indexing to each record; it is left out, so that the same packages give the same
    bytes.
    """
    from rattler.index import index_fs

    tell("index", what="packages")
    folder = Path(request["folder"])
    asyncio.run(index_fs(folder, write_shards=False, write_zst=False, force=True))
    return sum(_settle(path) for path in sorted(folder.glob("*/repodata.json")))


def _settle(path: Path) -> int:
    import zstandard

    repodata = json.loads(path.read_text(encoding="utf-8"))
    count = 0
    for section in ("packages", "packages.conda"):
        for record in repodata.get(section, {}).values():
            record.pop("indexed_timestamp", None)
            count += 1
    text = (json.dumps(repodata, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    path.with_name("repodata.json.zst").write_bytes(zstandard.ZstdCompressor(level=9).compress(text))
    path.write_bytes(text)
    return count


def unsolvable(request: dict[str, Any], tell: Tell) -> list[dict[str, str]]:
    """Try to solve each package of a channel alone; ``{"spec", "why"}`` of those that cannot be installed.

    Only for the platform of this machine: what another one offers is not known here.
    """
    return asyncio.run(_unsolvable(request, tell))


async def _unsolvable(request: dict[str, Any], tell: Tell) -> list[dict[str, str]]:
    import rattler
    from rattler.exceptions import SolverError

    if request["platform"] != str(rattler.Platform.current()):
        return []
    channel = rattler.Channel(request["url"])
    gateway = rattler.Gateway(cache_dir=request["cache"])
    platforms = [request["platform"], "noarch"]
    virtual = rattler.VirtualPackage.detect()
    found = []
    for number, spec in enumerate(request["specs"]):
        tell("check", number, len(request["specs"]), "packages", spec)
        try:
            await rattler.solve(
                [channel],
                [rattler.MatchSpec(spec)],
                gateway=gateway,
                platforms=platforms,
                virtual_packages=[one.into_generic() for one in virtual],
            )
        except SolverError as exc:
            found.append({"spec": spec, "why": str(exc)})
    return found
