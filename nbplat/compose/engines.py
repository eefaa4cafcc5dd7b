"""The engines that work runs on, assembled when they are asked for; what `--engine` names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.compose.worker_environments import InWorkersPython, WorkerEnvironments, environment_of
from nbplat.config import Config
from nbplat.errors import RequestError, SetupError, did_you_mean
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    from nbplat.adapters.ray.cluster import RaySettings
    from nbplat.adapters.ray.farm import RayFarm
    from nbplat.adapters.ray.pool import RayPool
    from nbplat.adapters.spark.farm import SparkFarm
    from nbplat.adapters.spark.host import SparkHost
    from nbplat.adapters.spark.lane import SqlLane
    from nbplat.adapters.spark.session import SparkSettings
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.backfill.ports import Engine, Runner
    from nbplat.environment.check_against import Cluster
    from nbplat.job.farm import Farm

__all__ = ["FARMS", "Engines"]

# Engines that have a task farm.
FARMS = ("local", "ray", "spark")

# A plan that reads less is over before Java's second compiler would pay.
_SMALL_BYTES = 256 << 20


class Engines:
    """Implements `nbplat.backfill.ports.Engines` and `nbplat.job.farm.Farms`.

    Args:
        local: The engine of the local SQL subset; Ray runs the same queries.
        pinned: Writes a metadata file of a pin into a folder and returns its path.
        environments: Brings environments to clusters elsewhere.
    """

    def __init__(
        self,
        config: Config,
        local: Engine,
        pinned: Callable[[SnapshotPin, Path], Path],
        environments: WorkerEnvironments,
    ) -> None:
        self.config = config
        self.local = local
        self.pinned = pinned
        self.environments = environments
        self._hosts: list[SparkHost] = []

    def close(self) -> None:
        """End what audits have started."""
        while self._hosts:
            self._hosts.pop().close()

    def engine(self, name: str) -> Engine:
        """What plans and audits know of an engine."""
        if name != "spark":
            return self.local
        from nbplat.adapters.spark.engine import SparkEngine

        host = self.spark_host("audit", tables=False)
        self._hosts.append(host)
        return SparkEngine(self.local, lambda: self._spark_settings("plan"), host)

    def check(self, plan: BackfillPlan, staged: str) -> None:
        """Return when the plan's engine is installed here and its workers reach the table's files."""
        tables = plan.engine == "spark" and plan.python is None
        self._check(plan.engine, f"the files of {plan.base.table}", plan.units[0].path, "staged files", staged, tables)
        if (environment := self._sent(plan)) is not None:
            self.environments.check(plan.engine, environment)

    def check_farm(self, engine: str, reads: str, writes: str) -> None:
        """See `nbplat.job.farm.Farms`."""
        if engine not in FARMS:
            fix = f"{did_you_mean(engine, FARMS)}; engines are {', '.join(FARMS)}"
            raise RequestError("engine.unknown", f"there is no engine {engine!r}", fix=fix)
        self._check(engine, "the source's files", reads, "files of the result", writes, tables=False)

    @contextmanager
    def farm(self, engine: str, what: str, say: Callable[[str], None]) -> Iterator[Farm]:
        """See `nbplat.job.farm.Farms`."""
        if engine == "local":
            from nbplat.adapters.local.farm import LocalFarm, local_slots

            yield LocalFarm(local_slots(self.config.cores, self.config.memory_bytes))
            return
        made: RayFarm | SparkFarm
        if engine == "ray":
            from nbplat.adapters.ray.farm import RayFarm

            made = RayFarm(self._ray_settings(), say=say)
        else:
            from nbplat.adapters.spark.farm import SparkFarm

            made = SparkFarm(self.spark_host(what, tables=False), say=say)
        with closing(made):
            yield made

    @contextmanager
    def _farm_in(self, engine: str, environment: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Farm]:
        """A farm of a cluster elsewhere whose workers run in an environment."""
        settings = self.environments.settings(engine, environment)
        say(f"workers run in the environment {environment['name']} ({environment['key'][:12]}), by {settings.way}")
        if engine == "ray":
            from nbplat.adapters.ray.farm import RayFarm

            with closing(RayFarm(replace(self._ray_settings(), runtime_env=settings.runtime_env), say=say)) as farm:
                yield farm
            return
        from nbplat.adapters.spark.farm import SparkFarm
        from nbplat.adapters.spark.host import SparkHost

        own = self._spark_settings("stage")
        host = SparkHost(lambda: own.running_in(settings.conf))
        with closing(SparkFarm(host, say=say)) as spark_farm:
            yield spark_farm

    def _sent(self, plan: BackfillPlan) -> Mapping[str, Any] | None:
        """The environment that a plan's workers must be given; None where they are here, or run none."""
        environment = environment_of(plan.python)
        return environment if environment is not None and not self._is_here(plan.engine) else None

    def _is_here(self, engine: str) -> bool:
        """Whether an engine's workers are started here, in the Python that they are told."""
        if engine == "ray":
            from nbplat.adapters.ray.cluster import is_here

            return is_here(self._ray_settings().address)
        from nbplat.adapters.spark.session import is_local

        return engine != "spark" or is_local(self.config.spark_master)

    def _opens_files_here(self, engine: str) -> bool:
        """Whether an engine's workers open files by their paths on this machine."""
        from nbplat.adapters.spark.session import opens_files_here

        return self._is_here(engine) or (engine == "spark" and opens_files_here(self.config.spark_master))

    @contextmanager
    def runner(self, plan: BackfillPlan, folder: Path, say: Callable[[str], None]) -> Iterator[Runner]:
        """What runs the plan's pieces; what it started ends with the block.

        Args:
            folder: For what lasts as long as the block.
        """
        from nbplat.backfill.pieces import Pieces

        if (environment := self._sent(plan)) is not None:
            with self._farm_in(plan.engine, environment, say) as farm:
                yield InWorkersPython(Pieces(farm))
            return
        if plan.engine != "spark" or plan.python is not None:
            with self.farm(plan.engine, "stage", say) as farm:
                yield Pieces(farm)
            return
        from nbplat.adapters.spark.whole_window import SparkSql

        host = self.spark_host("stage", quick=plan.read_bytes < _SMALL_BYTES)
        made = SparkSql(host, lambda: self._lane(plan, folder), say=say)
        try:
            yield made
        finally:
            made.close()

    def ask(self, engine: str) -> Cluster:
        """What an engine's driver and workers have, told by themselves; starts a session or joins the cluster.

        Args:
            engine: ``spark`` or ``ray``.

        Raises:
            SetupError: it is not installed, or its workers do not start.
            RemoteError: it cannot be reached.
        """
        from nbplat.environment.check_against import Cluster
        from nbplat.remote.probe import probe

        driver = probe()
        if engine == "ray":
            from nbplat.adapters.ray.cluster import cluster
            from nbplat.adapters.ray.workers import probe_workers as ray_workers

            settings = self._ray_settings()
            with cluster(settings) as ray:
                where = settings.address or "this machine"
                return Cluster(engine, where, ray.__version__, driver, ray_workers(ray), here=self._is_here(engine))
        from nbplat.adapters.spark.workers import probe_workers as spark_workers

        host = self.spark_host("check", tables=False)
        try:
            session = host.session()
            records, refused = spark_workers(session)
            where = self.config.spark_master
            return Cluster(engine, where, session.version, driver, records, refused, here=self._is_here(engine))
        finally:
            host.close()

    def ray_pool(self, reads: str, environment: Mapping[str, Any] | None = None) -> RayPool:
        """Where units of a training join are joined on Ray; the cluster lives as long as this process.

        Args:
            reads: A file that its workers must reach.
            environment: Record of the built environment that they run in; None leaves them as they are.

        Raises:
            SetupError: Ray is not installed; its workers do not reach the files; ``env.check``: they cannot run in the
                environment with this process as their driver.
        """
        from nbplat.adapters.ray.pool import RayPool

        self._check("ray", "the files of the join", reads, "files", "", tables=False)
        settings = replace(self._ray_settings(), kept=True)
        if environment is None:
            return RayPool(settings)
        name = f"{environment['name']} ({environment['key'][:12]})"
        return RayPool(settings, runtime_env=self.ray_environment(environment, "data"), environment=name)

    def ray_environment(self, environment: Mapping[str, Any], part: str) -> dict[str, Any]:
        """Ray's ``runtime_env`` of workers that run in an environment and join there: with our code, which it lacks.

        Args:
            part: Of Ray that they use: ``data`` or ``train``.

        Raises:
            SetupError, RequestError: as `WorkerEnvironments.check`.
        """
        from nbplat.remote.bundle import write_bundle

        here, workers = self._is_here("ray"), self.environments
        workers.check("ray", environment, part=part, here=here)
        bundle = Path(write_bundle(str(self.config.home / "remote")))
        code = bundle.as_uri() if here else workers.beside_archives(bundle)
        return {**workers.settings("ray", environment, here=here).runtime_env, "py_modules": [code]}

    def spark_host(self, what: str, *, tables: bool = True, quick: bool = True) -> SparkHost:
        """A session for one step.

        Args:
            what: Names its scratch folder.
            tables: Whether it reads tables, for which it needs the Iceberg jar.
            quick: Whether it lives for seconds, see `SparkSettings`.
        """
        from nbplat.adapters.spark.host import SparkHost
        from nbplat.adapters.spark.jars import iceberg_jar

        def settings() -> SparkSettings:
            _clear_dead(self.config.home / "spill")
            return replace(
                self._spark_settings(what), iceberg_jar=iceberg_jar(self.config) if tables else None, quick=quick
            )

        return SparkHost(settings)

    def _lane(self, plan: BackfillPlan, folder: Path) -> SqlLane:
        from nbplat.adapters.spark.lane import PinnedTable, SqlLane
        from nbplat.backfill.body import engine_name

        def pinned(pin: SnapshotPin, columns: tuple[str, ...]) -> PinnedTable:
            return PinnedTable(str(self.pinned(pin, folder / "pinned")), columns)

        return SqlLane(
            base=pinned(plan.base, plan.base_columns),
            sources={engine_name(source.pin.table): pinned(source.pin, source.columns) for source in plan.sources},
            row_wise=plan.row_wise,
            partitioning=plan.partitioning,
        )

    def _spark_settings(self, what: str) -> SparkSettings:
        from nbplat.adapters.spark.session import SparkSettings

        return SparkSettings(
            master=self.config.spark_master,
            conf=self.config.spark_settings,
            # One folder per process: two steps may run at once, and each removes its own.
            scratch=self.config.home / "spill" / f"spark-{what}-{os.getpid()}",
            memory_bytes=self.config.memory_bytes,
            threads=self.config.threads,
        )

    def _ray_settings(self) -> RaySettings:
        from nbplat.adapters.ray.cluster import RaySettings
        from nbplat.remote.bundle import write_bundle

        return RaySettings(
            address=self.config.ray_address or os.environ.get("RAY_ADDRESS", ""),
            threads=self.config.threads,
            memory_bytes=self.config.memory_bytes,
            bundle=lambda: write_bundle(str(self.config.home / "remote")),
        )

    def _check(self, engine: str, read: str, reads: str, written: str, writes: str, tables: bool) -> None:
        """Refuse an engine that is not here, and a cluster elsewhere when the files lie on this machine.

        Args:
            read, written: What is read and written, in words.
            tables: Whether Spark itself reads tables.
        """
        if engine == "ray":
            from nbplat.adapters.ray.cluster import check_ray

            check_ray()
            name, key, where = "Ray", "ray.address (RAY_ADDRESS)", self._ray_settings().address
        elif engine == "spark":
            from nbplat.adapters.spark.jars import check_java, check_pyspark, iceberg_jar

            check_pyspark()
            check_java()
            if tables:
                iceberg_jar(self.config)
            name, key, where = "Spark", "spark.master", self.config.spark_master
        else:
            return
        if self._opens_files_here(engine):
            return
        if not self.config.catalog:
            lies, fix = "the embedded catalog's tables lie on this machine", "set catalog.name to a catalog whose "
            fix += f"warehouse every worker reaches (S3), or unset {key}"
        elif _on_disk(reads):
            lies = f"{read} lie on a disk of this machine"
            fix = f"move them to a store that every worker reaches (S3), or unset {key}"
        elif _on_disk(writes):
            lies = f"{written} would lie on a disk of this machine ({writes})"
            fix = f"keep {written} in a place that every worker reaches, or unset {key}"
        else:
            return
        raise SetupError("engine.reach", f"{lies}, and {name} runs at {where}", fix=fix)


def _on_disk(location: str) -> bool:
    return location.startswith(("/", "file:"))


def _clear_dead(folder: Path) -> None:
    """Remove the scratch folders of processes that were killed."""
    for scratch in folder.glob("spark-*-*"):
        pid = scratch.name.rpartition("-")[2]
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(scratch, ignore_errors=True)
        except PermissionError:
            pass
