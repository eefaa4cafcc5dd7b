"""What an environment costs a Spark session: none, unpacked by each session, kept on the node by the launcher."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.environment_world import World, pack_in_process
from benchmarks.measure import Cost, Figure, fresh_environ, medians
from nbplat.environment.launcher import NodeCache, launcher_name, launcher_text
from nbplat.environment.pack_record import Pack
from nbplat.environment.settings import Settings, settings_text
from nbplat.environment.shipped import Shipped
from nbplat.environment.targets import Asked, settings_for
from nbplat.terms import EnvironmentRef

__all__ = ["measure_sessions", "session_figures"]

_RUNS = 3
_LIMIT_S = 300
_GOAL_S = 1.0
_CONF = {
    "spark.master": "local-cluster[2,1,1024]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
}
# Tasks take long enough for both executors to have one.
_JOB = """
import time
def tell(part):
    import sys, time
    time.sleep(0.2)
    return sys.prefix
print("PREFIXES", sorted(set(spark.sparkContext.parallelize(range(4), 4).map(tell).collect())), flush=True)
print("END", flush=True)
spark.stop()
"""
_SESSION = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"


def measure_sessions(world: World, folder: Path) -> list[Figure]:
    """Sessions in the big environment, packed as it is shipped."""
    folder.mkdir()
    made = pack_in_process(world, world.big)
    beside = made.archive.with_name(f"{made.archive.name}.json")
    manifest = json.loads(beside.read_text("utf-8"))
    pack = Pack(made.archive, manifest["archive"]["sha256"], made.size, manifest, beside)
    return session_figures(world.big.ref(), pack, folder)


def session_figures(ref: EnvironmentRef, pack: Pack, folder: Path) -> list[Figure]:
    """Start sessions with two executors on this machine, from the start of the driver to the end of the first job.

    Args:
        ref: Of a built environment whose Python has the minor version of this one.
        pack: Its archive, as tar.gz.
        folder: An empty one, for Spark's own and the nodes' files.
    """
    archive = Shipped(pack.archive.as_uri(), pack.sha256, pack.size, "tar.gz", ref.key, ref.name)
    home = _spark_home(folder)
    warm, cold = folder / "warm", folder / "cold"

    def by_launcher(cache: Path) -> Settings:
        text = launcher_text(archive, pack.manifest, NodeCache(folder=str(cache)))
        script = folder / launcher_name(text)
        script.write_text(text)
        script.chmod(0o755)
        return settings_for(Asked(ref, "local-cluster", "launcher", archive, str(script)))

    def session(settings: Settings | None, expected: str, before: Callable[[], None] = lambda: None) -> Cost:
        before()
        return _session(settings, expected, home, folder)

    unpacked = settings_for(Asked(ref, "local-cluster", "archive", archive))
    home_name = pack.sha256[:32]
    none, kept, each, first = medians(
        functools.partial(session, None, sys.prefix),
        functools.partial(session, by_launcher(warm), str(warm / home_name)),
        functools.partial(session, unpacked, "/environment"),
        functools.partial(
            session, by_launcher(cold), str(cold / home_name), lambda: shutil.rmtree(cold, ignore_errors=True)
        ),
        runs=_RUNS,
    )
    bare, started = medians(
        lambda: _start([ref.interpreter, "-I", "-S", "-c", ""]),
        lambda: _start(["/bin/sh", str(_script(folder, warm)), "-I", "-S", "-c", ""]),
    )
    size = f"{pack.size / 1e6:.0f} MB archive, {int(pack.manifest.get('bytes', 0)) / 1e6:.0f} MB unpacked"
    text = f"a session without any environment ({none}); {size}, two executors on one machine"
    over = [(kept, "launcher, node warm", _GOAL_S), (first, "launcher, node cold", None)]
    over.append((each, "spark.archives, unpacked by every executor", None))
    figures = []
    for cost, what, goal in over:
        more = cost.minus(none)
        for kind, value in (("wall", more.wall_s), ("CPU", more.cpu_s)):
            title = f"session and first job: {what}, over none, {kind}"
            figures.append(Figure(title, value, "s", goal, "lower", text, cost.cpu_s, cost.wall_s))
    more = started.minus(bare)
    figures.append(
        Figure(
            "launcher, node warm: one start of Python, over Python itself, wall",
            more.wall_s * 1000,
            "ms",
            None,
            "lower",
            f"bin/python of the environment ({bare})",
            started.cpu_s,
            started.wall_s,
        )
    )
    return figures


def _script(folder: Path, cache: Path) -> Path:
    """The launcher that unpacks in `cache`."""
    return next(path for path in folder.glob("nbplat-python-*") if f"nb_cache={cache}\n" in path.read_text())


def _spark_home(folder: Path) -> Path:
    """Spark's files by links: a local cluster writes beside them."""
    import pyspark

    found, home = Path(pyspark.__file__).parent, folder / "spark"
    home.mkdir()
    for name in ("bin", "jars", "python"):
        (home / name).symlink_to(found / name)
    (home / "conf").mkdir()
    (home / "conf" / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in _CONF.items()))
    return home


def _session(settings: Settings | None, expected: str, home: Path, folder: Path) -> Cost:
    """One driver with its executors and their workers, to the end of the job."""
    program = folder / "driver.py"
    head = _SESSION if settings is None else settings_text(settings, "python")
    program.write_text(head + _JOB)
    variables = fresh_environ() | {
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str(home / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    begun = time.perf_counter()
    with (folder / "driver.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, program],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=variables,
            cwd=folder,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told = line if line.startswith("PREFIXES ") else told
            if line == "END\n":
                break
        cost = Cost(time.perf_counter() - begun, _cpu_of(process.pid))
        process.wait(_LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_LIMIT_S)
    prefixes = json.loads(told.removeprefix("PREFIXES ").replace("'", '"') or "[]")
    if not prefixes or any(expected not in one for one in prefixes):
        raise AssertionError(f"tasks ran in {prefixes}, not {expected}\n{(folder / 'driver.log').read_text()[-3000:]}")
    return cost


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process, of all below it, and of those of them that have ended."""
    root = psutil.Process(pid)
    seconds = 0.0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _start(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=_LIMIT_S, env=fresh_environ(), stdin=subprocess.DEVNULL)
