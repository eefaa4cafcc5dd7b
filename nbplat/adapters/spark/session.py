"""A Spark session for one step: started in this process, ended with everything it started."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.spark.jars import check_java, check_pyspark
from nbplat.errors import RemoteError, SetupError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [
    "LAUNCH",
    "LOGGING",
    "PINNED_CATALOG",
    "SparkSettings",
    "is_local",
    "joined_conf",
    "opens_files_here",
    "spark_session",
]

# The heap below which Spark refuses to start, with room to work.
_HEAP_FLOOR_MB = 640

# Iceberg reads a table by the location of its metadata through the catalog of this name.
PINNED_CATALOG = "spark.sql.catalog.default_iceberg"

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_DRIVER_ONLY = ("spark.driver.memory", "spark.driver.extraJavaOptions", "spark.driver.extraClassPath")
_LISTS = frozenset(("spark.archives", "spark.files", "spark.yarn.dist.archives", "spark.yarn.dist.files"))
LAUNCH = (*_DRIVER_ONLY, "spark.jars", "spark.jars.packages", "spark.jars.ivy", "spark.jars.ivySettings")


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """How to start a session.

    Attributes:
        master: ``local[*]``, ``local[4]``, ``spark://host:7077``, ``yarn``, …
        conf: The user's own Spark settings; they win over ours.
        scratch: Folder for what the session writes beside results; made when missing.
        memory_bytes: Of this step. The driver's heap gets half: its Python workers need the rest.
        threads: Of ``local[*]``; 0 takes every core.
        iceberg_jar: On the driver's class path; None for tasks that read no table.
        quick: For a session that lives for seconds: the first of Java's compilers alone takes half the CPU then.
        python: Interpreter of the Python workers, as their nodes see it; empty takes what `conf` names in
            ``spark.pyspark.python``, else the one of this process.
    """

    master: str
    scratch: Path
    memory_bytes: int
    threads: int = 0
    conf: Mapping[str, str] = field(default_factory=dict)
    iceberg_jar: Path | None = None
    quick: bool = False
    python: str = ""

    @property
    def worker_python(self) -> str:
        """Interpreter of the Python workers."""
        return self.python or self.conf.get("spark.pyspark.python") or sys.executable

    def running_in(self, conf: Mapping[str, str]) -> SparkSettings:
        """These with what has the Python workers run in an environment; what is sent along besides stays.

        Args:
            conf: See `nbplat.environment.settings.Settings`; the driver stays this process.
        """
        ours = joined_conf(self.conf, conf)
        ours.pop("spark.pyspark.driver.python", None)
        return replace(self, conf=ours, python=ours.pop("spark.pyspark.python"))

    def values(self) -> dict[str, str]:
        """Every Spark setting of the session, by name."""
        heap = max(self.memory_bytes // (2 << 20), _HEAP_FLOOR_MB)
        ours = {
            "spark.master": f"local[{self.threads}]" if self.master == "local[*]" and self.threads else self.master,
            "spark.app.name": "nbplat",
            "spark.driver.memory": f"{heap}m",
            "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC -Djava.io.tmpdir={self.scratch} "
            f"-Dlog4j2.configurationFile=file:{self.scratch / 'log4j2.properties'}",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self.scratch),
            "spark.sql.warehouse.dir": str(self.scratch / "spark-warehouse"),
            "spark.sql.catalogImplementation": "in-memory",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.ansi.enabled": "true",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
            # min and max ignore NaN, so an aggregate answered from statistics may be wrong.
            "spark.sql.iceberg.aggregate-push-down.enabled": "false",
        }
        if is_local(self.master):
            ours |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
            ours |= {"spark.sql.shuffle.partitions": str(4 * self._cores()), "spark.driver.port": "0"}
            # One process that lives for minutes: the serial collector starts faster and keeps up.
            ours["spark.driver.extraJavaOptions"] += " -XX:+UseSerialGC"
        if self.quick:
            ours["spark.driver.extraJavaOptions"] += " -XX:TieredStopAtLevel=1"
        if self.iceberg_jar is not None:
            ours |= _iceberg(self.iceberg_jar, self.scratch)
            if not is_local(self.master):
                ours["spark.jars"] = str(self.iceberg_jar)
        merged = {**ours, **self.conf}
        if theirs := self.conf.get("spark.driver.extraJavaOptions"):
            merged["spark.driver.extraJavaOptions"] = f"{ours['spark.driver.extraJavaOptions']} {theirs}"
        return merged

    def _cores(self) -> int:
        return self.threads or os.cpu_count() or 1


def _iceberg(jar: Path, scratch: Path) -> dict[str, str]:
    """Iceberg on the class path, tables read by metadata location, joins along the storage's partitions.

    Not on a part of their keys (``allowJoinKeysSubsetOfPartitionKeys``): of two such joins, one after the other, Spark
    4.1 gives no rows where the first table shows a column that only its own partitions have.
    """
    bucketing = "spark.sql.sources.v2.bucketing"
    return {
        "spark.driver.extraClassPath": str(jar),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        PINNED_CATALOG: "org.apache.iceberg.spark.SparkCatalog",
        f"{PINNED_CATALOG}.type": "hadoop",
        f"{PINNED_CATALOG}.warehouse": f"file://{scratch / 'none'}",
        f"{PINNED_CATALOG}.cache-enabled": "false",
        "spark.sql.iceberg.planning.preserve-data-grouping": "true",
        "spark.sql.requireAllClusterKeysForCoPartition": "false",
        f"{bucketing}.enabled": "true",
        f"{bucketing}.pushPartValues.enabled": "true",
    }


def joined_conf(conf: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Settings with more of them, which win; what is sent along is sent with either."""
    both = _LISTS & more.keys() & conf.keys()
    return {**conf, **more, **{key: f"{conf[key]},{more[key]}" for key in both}}


def is_local(master: str) -> bool:
    """True when the executors run on this machine as parts of the session: ``local`` and ``local-cluster``."""
    return master.startswith("local")


def opens_files_here(master: str) -> bool:
    """True when the executors see this machine's disk: those of a standalone master on loopback do as well."""
    hosts = master.removeprefix("spark://").split(",") if master.startswith("spark://") else []
    return is_local(master) or (bool(hosts) and all(each.rpartition(":")[0] in _LOOPBACK for each in hosts))


@contextmanager
def spark_session(settings: SparkSettings, *, say: Callable[[str], None]) -> Iterator[SparkSession]:
    """Start a session, hand it out, and end its whole process group whatever happens.

    A driver that dies takes the JVM with it: the JVM ends when its standard input does.

    Raises:
        SetupError: no pyspark or Java, the wrong pair, or another session lives in this process.
        RemoteError: the master cannot be reached, or the JVM does not start.
    """
    check_pyspark()
    check_java()
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - pyspark has no public question for it
        raise SetupError(
            "spark.busy",
            "this process has a Spark session already, and a process can have one only",
            fix="stop it (spark.stop()), or let the service run the backfill",
        )
    settings.scratch.mkdir(parents=True, exist_ok=True)
    (settings.scratch / "log4j2.properties").write_text(LOGGING)
    values = settings.values()
    say(f"starting Spark on {values['spark.master']}, driver memory {values['spark.driver.memory']}")
    # pyspark's own logger repeats every failed query as JSON on standard error.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    with _environment(settings.master, settings.worker_python):
        gateway = _started(launch_gateway, _conf(SparkConf, {k: v for k, v in values.items() if k in LAUNCH}))
        process: subprocess.Popen[bytes] = gateway.proc
        try:
            try:
                context = SparkContext(gateway=gateway, conf=_conf(SparkConf, values))
            except Exception as exc:
                raise RemoteError(
                    "spark.start",
                    f"Spark does not start on {values['spark.master']}: {_first_line(exc)}",
                    fix="check the settings spark.master and spark.conf",
                ) from exc
            session = SparkSession(context)
            try:
                yield session
            finally:
                with suppress(Exception):  # a dead JVM must not hide what went wrong before
                    session.stop()
        finally:
            with suppress(Exception):
                gateway.shutdown()
            # pyspark keeps the dead gateway for the next session otherwise.
            SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
            _end(process)


def _started(launch: Callable[..., Any], conf: Any) -> Any:
    try:
        return launch(conf, popen_kwargs={"start_new_session": True})
    except Exception as exc:
        raise RemoteError(
            "spark.start",
            f"the Java process of Spark does not start: {_first_line(exc)}",
            fix="read the job's log; the settings spark.conf.* are handed to it as they are",
        ) from exc


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the JVM, its Python workers and whatever else is in its group."""
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(15)


@contextmanager
def _environment(master: str, python: str) -> Iterator[None]:
    """pyspark reads these from the process's environment and nowhere else."""
    ours = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": sys.executable}
    # Another installation of Spark must not be started in place of the one that the jar fits.
    drop = {"SPARK_HOME", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT"}
    if is_local(master):
        ours["SPARK_LOCAL_IP"] = "127.0.0.1"
        drop.add("SPARK_CONF_DIR")
    before = {name: os.environ.get(name) for name in {*ours, *drop}}
    os.environ.update(ours)
    for name in drop:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _conf(kind: Any, values: Mapping[str, str]) -> Any:
    conf = kind(loadDefaults=False)
    for key, value in values.items():
        conf.set(key, value)
    return conf


def _first_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    # py4j puts "An error occurred while calling …" first and the Java exception after it.
    said = next((line.removeprefix(": ") for line in lines if line.startswith(": ")), lines[0] if lines else "")
    return said[:400] or type(exc).__name__


LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
# A failed task is told by its job's error, once and without Java's frames.
logger.executor.name = org.apache.spark.executor.Executor
logger.executor.level = off
logger.tasks.name = org.apache.spark.scheduler.TaskSetManager
logger.tasks.level = off
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} spark %p %c{1}: %m%n
"""
