"""Check an environment against something: a machine, an interpreter, another environment, an archive, a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.check import WARNING, CheckReport, Finding
from nbplat.environment.check_body import check_body, check_driver
from nbplat.environment.check_engines import (
    check_links,
    check_ray,
    check_ray_part,
    check_same_python,
    check_spark,
    check_targets,
)
from nbplat.environment.check_machine import check_machine
from nbplat.environment.check_packages import check_packages
from nbplat.environment.definition import Targets
from nbplat.environment.floors import minor
from nbplat.environment.lock_record import PlatformLock
from nbplat.environment.packages_diff import PackageDifference
from nbplat.environment.sides import Side, side_of_lock, side_of_manifest, side_of_probe
from nbplat.errors import NotFound
from nbplat.terms import EnvironmentRef

__all__ = ["ENGINES", "Checker", "Cluster"]

ENGINES = ("spark", "ray")
"""What `--against` takes for the engines as they are configured; environments of these names are meant by path."""

_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.zst")


@dataclass(frozen=True, slots=True)
class Cluster:
    """An engine as it is configured, asked by a job of its own.

    Attributes:
        engine: ``spark`` or ``ray``.
        where: Master or address.
        version: Of the engine there.
        driver: Record of `nbplat.remote.probe` of the process that drives it.
        workers: One record per node and interpreter; empty when `worker_python` is all they told.
        worker_python: Python of the workers where the engine refused it: they ran nothing then.
        here: The workers run on this machine, where environments are used from the store.
    """

    engine: str
    where: str
    version: str
    driver: Mapping[str, Any]
    workers: tuple[Mapping[str, Any], ...]
    worker_python: str = ""
    here: bool = True


@dataclass(frozen=True, slots=True)
class Checker:
    """Finds the sides and applies the rules.

    Attributes:
        probe: Record of `nbplat.remote.probe` of an interpreter on this machine.
        find: A built environment by name; raises NotFound.
        lock_of: What an environment was built from; None where that is not known.
        manifest: Of an archive, by path or URI.
        cluster: Asks an engine.
        this_python: Interpreter of this process.
        match_level: Ray's ``RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL``.
    """

    probe: Callable[[str], Mapping[str, Any]]
    find: Callable[[str], EnvironmentRef]
    lock_of: Callable[[EnvironmentRef], PlatformLock | None]
    manifest: Callable[[str], Mapping[str, Any]]
    cluster: Callable[[str], Cluster]
    this_python: str
    match_level: str = "patch"

    def check(self, ref: EnvironmentRef, against: str = "", targets: Targets | None = None) -> CheckReport:
        """Check an environment.

        Args:
            against: Empty: this machine and this Python. Else ``spark`` or ``ray`` as configured, the path of an
                interpreter or of its folder, an archive's path or URI, or the name of an environment.
            targets: What it has to work with, as declared or as asked for.

        Raises:
            NotFound: ``env.against``: it is none of these.
            SetupError: an interpreter that gives no answer.
        """
        side = self.side(ref)
        targets = targets or Targets()
        this = side_of_probe("this Python", self.probe(self.this_python))
        found = [*check_machine(side, side.machine or this.machine), *check_targets(side, targets)]
        looked = ["platform, glibc, CPU level and CUDA of this machine"]
        looked += [f"{name} {version}" for name, version in (("Spark", targets.spark), ("Ray", targets.ray)) if version]
        if not against:
            found += _as_driver(this, side)
            return CheckReport.of(side.who, "this machine", found, checked=[*looked, f"Python {this.python}"])
        if against in ENGINES:
            return self._against_cluster(side, self.cluster(against))
        other, form = self._other(against, targets)
        more, differences = self._pair(side, other)
        found += [*more, *form]
        looked += ["the versions of Python, pyspark and ray", f"{len(side.packages)} packages"]
        return CheckReport.of(side.who, other.who, found, differences, looked)

    def as_workers(self, ref: EnvironmentRef, engine: str, part: str = "") -> CheckReport:
        """Whether the Python workers of an engine can run in it with this process as their driver.

        Their machines are not asked: that would start a session (`check` with ``spark`` or ``ray`` does it).

        Args:
            part: See `check_ray_part`.
        """
        side, driver = self.side(ref), side_of_probe("this process", self.probe(self.this_python))
        rule = self._spark if engine == "spark" else self._ray
        # Workers stage with our own code, which asks for what bodies ask for.
        found = [*rule(driver, side, driver.version_of("pyspark")), *check_body(side), *check_ray_part(side, part)]
        return CheckReport.of(side.who, f"this process as a driver of {engine}", found)

    def as_driver(self, ref: EnvironmentRef) -> CheckReport:
        """Whether a driver on this machine, and workers of the same Python, can run in it with our Spark."""
        side, this = self.side(ref), side_of_probe("this process", self.probe(self.this_python))
        found = [*check_machine(side, side.machine or this.machine), *check_driver(side)]
        found += check_spark(side, side, spark=this.version_of("pyspark"))
        return CheckReport.of(side.who, "a session", found)

    def side(self, ref: EnvironmentRef) -> Side:
        """What an environment has: asked of its interpreter where it is built here, else read from its lock."""
        who = f"the environment {ref.name}"
        lock = self.lock_of(ref)
        if ref.interpreter and Path(ref.interpreter).exists():
            return side_of_probe(who, self.probe(ref.interpreter), assumed=lock.virtual if lock else {}, name=ref.name)
        if lock is None:
            raise NotFound(
                "env.unbuilt",
                f"{ref.name} ({ref.key[:12]}) is not built on this machine",
                fix=f"nbplat env build {ref.name}",
            )
        return side_of_lock(who, lock, name=ref.name)

    def _other(self, against: str, targets: Targets) -> tuple[Side, list[Finding]]:
        path = Path(against).expanduser()
        if against.endswith(_ARCHIVES) or "://" in against:
            side = side_of_manifest(f"the archive {against.rpartition('/')[2][:24]}", self.manifest(against))
            return side, check_links(side, "ray" if targets.ray else "spark")
        for candidate in (path / "bin" / "python", path):
            if candidate.is_file():
                return side_of_probe(f"the interpreter {candidate}", self.probe(str(candidate.absolute()))), []
        if "/" in against or against.startswith((".", "~")):
            raise NotFound(
                "env.against",
                f"there is no interpreter and no archive at {against}",
                fix="give a folder with bin/python, an interpreter, an archive (.tar.gz, .zip, .tar.zst), the name of "
                "an environment, spark or ray",
            )
        return self.side(self.find(against)), []

    def _pair(self, side: Side, other: Side) -> tuple[list[Finding], tuple[PackageDifference, ...]]:
        found = check_same_python(other, side)
        if other.machine is not None and side.machine is not None and other.machine != side.machine:
            found += check_machine(side, other.machine)
        more, differences = check_packages(side, other)
        return [*found, *more], differences

    def _against_cluster(self, side: Side, cluster: Cluster) -> CheckReport:
        name = cluster.engine.capitalize()
        who = f"{name} at {cluster.where}"
        driver = side_of_probe("this process", cluster.driver)
        workers = [side_of_probe(f"{name}'s workers", record) for record in cluster.workers]
        if not workers:
            workers = [Side(f"{name}'s workers", cluster.worker_python, "")]
        rule = self._spark if cluster.engine == "spark" else self._ray
        found: list[Finding] = []
        differences: tuple[PackageDifference, ...] = ()
        for one in workers:
            found += check_machine(side, one.machine) if one.machine is not None else []
            found += rule(driver, one, cluster.version)
        if cluster.here:
            looked = [f"{name}'s workers run {workers[0].python}; bodies run beside them in {side.who}"]
        else:
            # There the workers themselves run in the environment.
            found += rule(driver, side, cluster.version)
            more, differences = check_packages(driver, side)
            found += more
            looked = [f"{name}'s workers on {_nodes(workers)} run {workers[0].python}; with it they run {side.python}"]
        looked += [f"{name} {cluster.version}", "platform, glibc and CPU level of each node"]
        return CheckReport.of(side.who, who, found, differences, looked)

    def _spark(self, driver: Side, workers: Side, version: str) -> list[Finding]:
        return check_spark(driver, workers, spark=version)

    def _ray(self, driver: Side, workers: Side, version: str) -> list[Finding]:
        return check_ray(driver, workers, match_level=self.match_level)


def _as_driver(this: Side, side: Side) -> list[Finding]:
    """This process may drive an engine whose workers run in the environment; that it cannot is no fault of either."""
    if not side.python or minor(this.python) == minor(side.python):
        return []
    return [
        Finding(
            "python",
            WARNING,
            f"{this.who} is {this.python} and {side.who} has {side.python}: bodies run in it all the same, but as the "
            "workers of a session of this Python it does not",
            ((this.who, this.python), (side.who, side.python)),
            f"work in a kernel of it: nbplat env kernel {side.name}",
        )
    ]


def _nodes(workers: Sequence[Side]) -> str:
    names: Iterable[str] = sorted({one.machine.node for one in workers if one.machine is not None})
    return ", ".join(names) or "no node"
