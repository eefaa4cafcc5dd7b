"""What an archive of an environment costs: packed cold and again, unpacked, first used; conda-pack and tar beside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment_ship import measure_sessions
from benchmarks.environment_world import Packed, World, empty, make_world, pack_in_process
from benchmarks.measure import Cost, Figure, cost_of, medians

__all__ = ["measure"]

_RUNS = 3
_IMPORTS = "import pandas, pyarrow, sklearn.linear_model, scipy.stats, polars, duckdb"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        world = make_world(Path(folder))
        peer = Path(folder) / "conda-pack.tar.gz"
        return [
            *_cold(world, peer),
            *_again(world),
            *_formats(world),
            *_unpack(world, peer, Path(folder) / "unpacked"),
            *measure_sessions(world, Path(folder) / "sessions"),
        ]


def _cold(world: World, peer: Path) -> list[Figure]:
    """The same content by all: no bytecode, which nobody else ships; and what bytecode adds."""
    ours: list[Packed] = []

    def pack(**asked: object) -> None:
        world.forget()
        ours.append(pack_in_process(world, world.big, **asked))

    plain, conda = medians(lambda: pack(pyc=False), lambda: _conda_pack(world, peer), runs=_RUNS, warm_up=0)
    # Half a minute of CPU: once is enough to say how far it is.
    tar = cost_of(lambda: _tar(world, peer.with_name("plain.tar.gz")))
    compiled = cost_of(pack)
    against = f"conda-pack, its defaults ({conda}, {peer.stat().st_size / 1e6:.0f} MB)"
    size, full = ours[0].size, ours[-1].size
    tar_text = f"{_tar_name()} ({tar}, {peer.with_name('plain.tar.gz').stat().st_size / 1e6:.0f} MB)"
    bytecode = f"the same without bytecode ({plain})"
    return [
        _ratio("cold pack, CPU", plain.cpu_s / conda.cpu_s, 0.5, against, plain),
        _ratio("cold pack, wall", plain.wall_s / conda.wall_s, 0.5, against, plain),
        _ratio("archive's size", size / peer.stat().st_size, 1.0, against, plain),
        _ratio("cold pack, wall, against tar", plain.wall_s / tar.wall_s, None, tar_text, plain),
        _ratio("bytecode, CPU of the first pack", compiled.cpu_s / plain.cpu_s, None, bytecode, compiled),
        _ratio("bytecode, size", full / size, None, bytecode, compiled),
    ]


def _again(world: World) -> list[Figure]:
    """With the layers kept: the same environment, and one with a package more."""
    world.forget()
    pack_in_process(world, world.big)
    kept = list(world.store.members.glob("*"))
    layers: list[int] = []

    def more() -> Cost:
        world.forget(kept)
        packed = pack_in_process(world, world.more)
        layers.append(packed.made)
        return packed.cost

    def assembled() -> Cost:
        world.forget(kept)
        return pack_in_process(world, world.big).cost

    added, same, found = medians(more, assembled, lambda: pack_in_process(world, world.big).cost, runs=5, warm_up=1)
    assert set(layers) == {2}
    text = "2 layers compressed, its files and its bytecode; all others kept"
    return [
        Figure("repack with one package more", added.wall_s, "s", 0.5, "lower", text, added.cpu_s, added.wall_s),
        Figure(
            "repack from kept layers", same.wall_s, "s", 0.5, "lower", "nothing compressed", same.cpu_s, same.wall_s
        ),
        Figure("pack, made before", found.wall_s, "s", None, "lower", "its hash is read", found.cpu_s, found.wall_s),
    ]


def _formats(world: World) -> list[Figure]:
    figures = []
    for asked in ({"format": "zip"}, {"format": "tar.zst"}, {"slim": True}):
        world.forget()
        packed = pack_in_process(world, world.big, pyc=False, **asked)
        name = "slim tar.gz" if "slim" in asked else asked["format"]
        text = "cold, without bytecode"
        cost = packed.cost
        figures.append(Figure(f"{name}, size", packed.size / 1e6, "MB", None, "lower", text, cost.cpu_s, cost.wall_s))
    return figures


def _unpack(world: World, peer: Path, folder: Path) -> list[Figure]:
    """Unpacked by tar, as Spark does it, and imported by a process that may not write bytecode."""
    world.forget()
    archive = pack_in_process(world, world.big).archive
    plain = pack_in_process(world, world.big, pyc=False).archive
    ours, theirs = medians(
        lambda: _extract(archive, folder / "ours"), lambda: _extract(peer, folder / "peer"), runs=_RUNS, warm_up=0
    )
    _extract(plain, folder / "plain")
    relocated, unpacked = medians(
        lambda: _relocate(archive, folder / "ours", "nbplat-relocate"),
        lambda: _relocate(peer, folder / "peer", "conda-unpack"),
        runs=_RUNS,
        warm_up=0,
    )
    ready, cold = medians(lambda: _imports(folder / "ours"), lambda: _imports(folder / "plain"), runs=_RUNS, warm_up=1)
    with_bytecode = f"without bytecode ({cold})"
    return [
        _ratio("unpack by tar, wall", ours.wall_s / theirs.wall_s, None, f"conda-pack's archive ({theirs})", ours),
        _ratio("relocate, wall", relocated.wall_s / unpacked.wall_s, None, f"conda-unpack ({unpacked})", relocated),
        _ratio("import in a fresh folder, wall", ready.wall_s / cold.wall_s, 0.5, with_bytecode, ready),
        _ratio("import in a fresh folder, CPU", ready.cpu_s / cold.cpu_s, 0.5, with_bytecode, ready),
    ]


def _ratio(name: str, value: float, goal: float | None, against: str, cost: Cost) -> Figure:
    return Figure(name, value, "x", goal, "lower", against, cost.cpu_s, cost.wall_s)


def _seconds(name: str, cost: Cost, goal: float | None, against: str) -> Figure:
    return Figure(name, cost.wall_s, "s", goal, "lower", against, cost.cpu_s, cost.wall_s)


def _conda_pack(world: World, out: Path) -> None:
    program = Path(sys.executable).with_name("conda-pack")
    _run([program, "-p", world.big.prefix, "-o", out, "-f", "-q"])


def _tar_name() -> str:
    return "tar | pigz -6" if shutil.which("pigz") else "tar | gzip -6"


def _tar(world: World, out: Path) -> None:
    packer = "pigz -6" if shutil.which("pigz") else "gzip -6"
    _run(["tar", "-I", packer, "-cf", out, "-C", world.big.prefix, "."])


def _extract(archive: Path, into: Path) -> None:
    _run(["tar", "-xzf", archive, "-C", empty(into)])


def _relocate(archive: Path, home: Path, program: str) -> Cost:
    """The archive is unpacked anew, which does not count."""
    _extract(archive, home)
    return cost_of(lambda: _run([home / "bin" / program], NBPLAT_RELOCATE="0"))


def _imports(home: Path) -> None:
    _run([home / "bin" / "python", "-c", _IMPORTS], PYTHONDONTWRITEBYTECODE="1")


def _run(words: Sequence[object], **environ: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        [str(one) for one in words], check=True, capture_output=True, timeout=600, env={"PATH": path, **environ}
    )
