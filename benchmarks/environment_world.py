"""A real environment of about 700 MB: made from what is installed here, solved, locked, built in a store."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost
from nbplat.adapters.conda.channel.folder import DiskChannel
from nbplat.adapters.conda.channel.sources import MachineSources
from nbplat.adapters.conda.library import RattlerConda
from nbplat.adapters.uv.program import UvPip
from nbplat.clock import SystemClock
from nbplat.environment.build import BuildTools, build
from nbplat.environment.built import Built
from nbplat.environment.channel.make import make_channel
from nbplat.environment.channel.request import ChannelRequest
from nbplat.environment.lock_record import Lock, PlatformLock
from nbplat.environment.ports import Channel, Phase
from nbplat.environment.store import Store
from nbplat.environment.virtual import this_platform

__all__ = ["BIG", "World", "make_world", "pack_in_process"]

BIG = ("numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "polars", "duckdb")
# One small package more, as when somebody adds a dependency.
_ONE_MORE = "packaging"

# Packs in a fresh process, and says what that took: all of it, or only the call.
_PACK = """
import json, os, resource, sys, time
def spent():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)
from pathlib import Path
from nbplat.adapters.archive import archive_codec
from nbplat.adapters.interpreter.compile_modules import compile_modules
from nbplat.environment.built import read_built
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.store import Store
root, prefix, asked = sys.argv[1:]
options = PackOptions(**json.loads(asked))
tools = PackTools(archive_codec(options.format, options.level), compile_modules)
cpu, wall = spent(), time.perf_counter()
made = pack(PackSource.of(read_built(Path(prefix))), options, Store(Path(root)), tools, lambda phase: None)
print(json.dumps([time.perf_counter() - wall, spent() - cpu, made.size, made.made, str(made.archive)]))
"""


@dataclass(frozen=True, slots=True)
class World:
    """Two built environments in one store.

    Attributes:
        root: Of the store.
        big: Of `BIG`; `more` has one small package more.
    """

    root: Path
    big: Built
    more: Built

    @property
    def store(self) -> Store:
        return Store(self.root)

    def forget(self, members: Sequence[Path] = ()) -> None:
        """Remove archives and layers, but for these layers."""
        kept = set(members)
        for folder in (self.store.members, self.store.packs):
            for path in folder.glob("*"):
                if path not in kept:
                    path.unlink()


@dataclass(frozen=True, slots=True)
class Packed:
    """What one pack in a fresh process gave.

    Attributes:
        cost: Of the call alone, the process's start left out.
        made: Layers that were compressed.
    """

    cost: Cost
    size: int
    made: int
    archive: Path


def make_world(folder: Path) -> World:
    """Make the channel, solve, lock and build."""
    channel = folder / "channel"
    request = ChannelRequest(channel, installed=(*BIG, _ONE_MORE))
    make_channel(request, MachineSources(), DiskChannel(channel), _unsaid)
    root = folder / "env"
    more = _built(channel, root, ("python", *BIG, _ONE_MORE))
    big = _built(channel, root, ("python", *BIG))
    # Nobody waits for a disk later: every file is read once.
    subprocess.run(["tar", "-cf", "/dev/null", "-C", more.prefix, "."], check=True, timeout=600)
    return World(root, big, more)


def pack_in_process(world: World, built: Built, **asked: object) -> Packed:
    """Pack with `PackOptions` as given."""
    words = [sys.executable, "-c", _PACK, str(world.root), built.prefix, json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600, env=dict(os.environ))
    wall_s, cpu_s, size, made, archive = json.loads(done.stdout)
    return Packed(Cost(wall_s, cpu_s), size, made, Path(archive))


def _built(channel: Path, root: Path, specs: Sequence[str]) -> Built:
    here = Channel("bench", channel.as_uri())
    conda = RattlerConda(root / "repodata")
    glibc = platform.libc_ver()[1] or "2.17"
    virtual = {"__unix": "0", "__glibc": glibc}
    packages = conda.solve(specs, [here], this_platform(), virtual, offline=True, say=_unsaid)
    locked = PlatformLock(this_platform(), virtual, packages)
    lock = Lock("bench", "0" * 64, ("bench",), tuple(specs), (), {this_platform(): locked})
    tools = BuildTools(store=Store(root), conda=conda, pip=UvPip(), clock=SystemClock(), channels=(here,))
    return build(lock, "", tools, folder=root, imports=False, say=_unsaid).built


def empty(folder: Path) -> Path:
    """A folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _unsaid(phase: Phase) -> None:
    """Nobody listens."""
