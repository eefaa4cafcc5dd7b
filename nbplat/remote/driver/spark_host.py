"""Spark in the driver: the JVM first, which takes seconds and few settings; the context when a session claims it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .class_archive import JAVA_OPTIONS, Archive, archive_for
from .jvm_calls import JvmCalls
from .master_setup import prepare_master
from .progress import group_of

__all__ = ["LAUNCH", "SparkHost", "spark_home"]

# What a JVM reads once, at its start.
LAUNCH = (
    "spark.driver.memory",
    "spark.driver.extraJavaOptions",
    "spark.driver.extraClassPath",
    "spark.driver.extraLibraryPath",
    "spark.jars",
    "spark.jars.packages",
    "spark.jars.ivy",
    "spark.jars.ivySettings",
    "spark.jars.repositories",
    "spark.submit.pyFiles",
)


class SparkHost:
    """The Spark of one session. Calls come from the main thread, but for `tracker` and `cancel`.

    Args:
        say: Takes lines for the driver's log.
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say
        self._gateway: Any = None
        self.calls = JvmCalls()
        self.session: Any = None
        self.archive: Archive | None = None

    def launch(self, conf: dict[str, str], archives: str = "", write: bool = False) -> None:
        """Start the JVM with those settings of `conf` that it reads at its start.

        Args:
            archives: Folder of class-data archives; the one that fits is used. Empty uses none.
            write: Have the JVM write that archive at its end instead.
        """
        _take_spark(conf.get("spark.nbplat.environment.pyspark", ""))
        prepare_master(conf)
        _choose_python(conf)
        launch = {key: value for key, value in conf.items() if key in LAUNCH}
        found = archive_for(archives, launch, spark_home()) if archives else None
        if write:
            assert found is not None  # noqa: S101 - the writer has looked
            self.archive = found
            self._start(launch, found.writing())
            return
        if found is not None and found.whole:
            found.touch()
            try:
                self._start(launch, found.reading())
                self.archive = found
                return
            except Exception as exc:  # noqa: BLE001 - whatever it was, the archive may be to blame: once without
                self._say(f"the JVM did not start with the class archive {found.path}: {exc}")
                found.discard()
        self._start(launch, "")

    def _start(self, launch: dict[str, str], options: str) -> None:
        self._gateway = _gateway_with(launch, options)
        self.calls.guard(self._gateway)

    def prepare(self, conf: dict[str, str]) -> None:
        """Set this process's variables for a session; what the JVM's start needed is there no more."""
        prepare_master(conf)
        _choose_python(conf)

    def claim(self, conf: dict[str, str]) -> dict[str, Any]:
        """Make the context and the session.

        Returns:
            ``app_id``, ``ui`` (None when it is off), ``master``, ``version`` and ``python``.
        """
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession

        settings = SparkConf(_jvm=self._gateway.jvm if self._gateway else None)
        for key, value in conf.items():
            settings.set(key, value)
        context = SparkContext(conf=settings, gateway=self._gateway)
        # What it would say of every failed query is the cell's error already.
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
        for name in ("", "py4j.clientserver"):
            logging.getLogger(name).addFilter(_says_more_than_interrupted)
        self.session = SparkSession(context)
        return {
            "app_id": context.applicationId,
            "ui": context.uiWebUrl,
            "master": context.master,
            "version": context.version,
            "python": sys.version.split()[0],
        }

    def release(self) -> None:
        """Stop the context; the JVM lives on for the next claim."""
        session, self.session = self.session, None
        if session is not None:
            session.stop()

    def forget(self) -> None:
        """Have the JVM forget what it keeps beside the context, and give back memory, before another claim."""
        jvm = self._gateway.jvm
        # Kept by address and user, with the settings of whoever asked first.
        jvm.org.apache.hadoop.fs.FileSystem.closeAll()
        jvm.java.lang.System.gc()

    def close(self, limit_s: float = 10.0) -> None:
        """Stop the context and end the JVM, which ends when its standard input does."""
        self.release()
        if self._gateway is not None:
            self._gateway.shutdown()
            process = self._gateway.proc
            process.stdin.close()
            process.wait(limit_s)
            self._gateway = None
            _forget_gateway()

    def names(self) -> dict[str, Any]:
        """What a session's cells find: ``spark``, ``sc`` and, for old code, ``sqlContext``."""
        if self.session is None:
            return {}
        return {"spark": self.session, "sc": self.session.sparkContext, "sqlContext": _OldContext(self.session)}

    def begin(self, statement: int) -> None:
        """Put the jobs of what runs next on this thread under the statement's group."""
        if self.session is not None:
            self.session.sparkContext.setJobGroup(group_of(statement), f"statement {statement}", interruptOnCancel=True)

    def cancel(self, statement: int) -> None:
        """End the Spark jobs of a statement, and those that it has asked for and the JVM has not begun."""
        if self.session is not None:
            context = self.session.sparkContext._jsc.sc()  # noqa: SLF001 - pyspark has no name of its own for this
            context.cancelJobGroupAndFutureJobs(group_of(statement))

    def tracker(self) -> Any:
        """Spark's StatusTracker; None without a session."""
        return None if self.session is None else self.session.sparkContext.statusTracker()

    @property
    def gateway(self) -> Any:
        """py4j's; None without a JVM."""
        return self._gateway

    @property
    def archive_name(self) -> str | None:
        """Which class-data archive the JVM uses; None: none."""
        return None if self.archive is None else self.archive.path.stem

    @property
    def process(self) -> Any:
        """The JVM's process, a `subprocess.Popen`; None where it is none of ours."""
        return getattr(self._gateway, "proc", None)

    @property
    def jvm_pid(self) -> int | None:
        """Process id of the JVM."""
        return None if self._gateway is None else int(self._gateway.proc.pid)


def _says_more_than_interrupted(record: logging.LogRecord) -> bool:
    """False for what py4j logs, with its own frames, of each call that an interrupt ends."""
    return record.msg not in (
        "KeyboardInterrupt while sending command.",
        "Exception occurred while shutting down connection",
    )


def _gateway_with(launch: dict[str, str], options: str) -> Any:
    from pyspark import SparkConf
    from pyspark.java_gateway import launch_gateway

    conf = SparkConf(loadDefaults=False)
    for key, value in launch.items():
        conf.set(key, value)
    if options:
        # Last: of two equal options the later one counts.
        conf.set(JAVA_OPTIONS, f"{launch.get(JAVA_OPTIONS, '')} {options}".strip())
    start: Any = launch_gateway
    return start(conf)


def _forget_gateway() -> None:
    """Another host of this process must not be given a JVM that has ended: pyspark keeps it on its class."""
    from pyspark import SparkContext

    for name in ("_gateway", "_jvm"):
        setattr(SparkContext, name, None)


def spark_home() -> str:
    """Folder of the Spark that this interpreter's pyspark starts."""
    from pyspark import find_spark_home

    find: Any = getattr(find_spark_home, "_find_spark_home")  # noqa: B009 - pyspark gives it no other name
    return str(find())


class _OldContext:
    """Stands for SQLContext, which Spark 4 warns of: its methods are the session's."""

    def __init__(self, session: Any) -> None:
        self.sparkSession = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sparkSession, name)


def _choose_python(conf: dict[str, str]) -> None:
    """The workers' Python: that of the session's environment, else what a user's shell pins, else our own."""
    ours = {"PYSPARK_PYTHON": conf.get("spark.pyspark.python", sys.executable), "PYSPARK_DRIVER_PYTHON": sys.executable}
    if "spark.nbplat.environment" in conf or "spark.pyspark.python" in conf:
        os.environ.update(ours)
    for name, value in ours.items():
        os.environ.setdefault(name, value)


def _take_spark(home: str) -> None:
    """Take the Python library of a Spark installation, where this interpreter has none of its own.

    Args:
        home: Folder of the installation; empty leaves all as it is.
    """
    if home:
        os.environ["SPARK_HOME"] = home
        sys.path[1:1] = sorted(str(path) for path in Path(home, "python", "lib").glob("*.zip"))
