"""The engines beside `local` that staging runs on, assembled when they are asked for; what `--engine` names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.config import Config
from nbplat.errors import SetupError
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    from nbplat.adapters.ray.cluster import RaySettings
    from nbplat.adapters.spark.host import SparkHost
    from nbplat.adapters.spark.lane import SqlLane
    from nbplat.adapters.spark.session import SparkSettings
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.backfill.ports import Engine, Runner

__all__ = ["Engines"]

# A plan that reads less is over before Java's second compiler would pay.
_SMALL_BYTES = 256 << 20


class Engines:
    """Implements `nbplat.backfill.ports.Engines`.

    Args:
        local: The engine of the local SQL subset; Ray runs the same queries.
        pinned: Writes a metadata file of a pin into a folder and returns its path.
    """

    def __init__(self, config: Config, local: Engine, pinned: Callable[[SnapshotPin, Path], Path]) -> None:
        self.config = config
        self.local = local
        self.pinned = pinned
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
        if plan.engine == "ray":
            from nbplat.adapters.ray.cluster import check_ray, is_here

            check_ray()
            if not is_here(address := self._ray_settings().address):
                self._check_reach(plan, staged, "Ray", address, "ray.address (RAY_ADDRESS)")
        elif plan.engine == "spark":
            from nbplat.adapters.spark.jars import check_java, check_pyspark, iceberg_jar
            from nbplat.adapters.spark.session import is_local

            check_pyspark()
            check_java()
            if plan.python is None:
                iceberg_jar(self.config)
            if not is_local(master := self.config.spark_master):
                self._check_reach(plan, staged, "Spark", master, "spark.master")

    @contextmanager
    def runner(self, plan: BackfillPlan, folder: Path, say: Callable[[str], None]) -> Iterator[Runner]:
        """What runs the plan's pieces; what it started ends with the block.

        Args:
            folder: For what lasts as long as the block.
        """
        from nbplat.adapters.ray.runner import RayRunner
        from nbplat.adapters.spark.runner import SparkPieces, SparkSql

        made: RayRunner | SparkPieces | SparkSql
        if plan.engine == "ray":
            made = RayRunner(self._ray_settings(), say=say)
        elif plan.python is not None:
            made = SparkPieces(self.spark_host("stage", tables=False), say=say)
        else:
            host = self.spark_host("stage", quick=plan.read_bytes < _SMALL_BYTES)
            made = SparkSql(host, lambda: self._lane(plan, folder), say=say)
        try:
            yield made
        finally:
            made.close()

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

    def _check_reach(self, plan: BackfillPlan, staged: str, engine: str, where: str, key: str) -> None:
        """Refuse a cluster elsewhere when the files lie on this machine."""
        if not self.config.catalog:
            lies, fix = "the embedded catalog's tables lie on this machine", "set catalog.name to a catalog whose "
            fix += f"warehouse every worker reaches (S3), or unset {key}"
        elif _on_disk(plan.units[0].path):
            lies = f"the files of {plan.base.table} lie on a disk of this machine"
            fix = f"move the table to a warehouse that every worker reaches (S3), or unset {key}"
        elif _on_disk(staged):
            lies = f"staged files would lie on a disk of this machine ({staged})"
            fix = f"keep staged files in a place that every worker reaches, or unset {key}"
        else:
            return
        raise SetupError("engine.reach", f"{lies}, and {engine} runs at {where}", fix=fix)


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
