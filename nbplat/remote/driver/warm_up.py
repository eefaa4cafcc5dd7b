"""Before a session claims a driver: Spark's classes are loaded once, and nothing of that is left for the session."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["Claim", "Outside", "exercise", "warm_conf"]

_TAKEN = ("spark.sql.extensions",)


class Claim:
    """Waits for the session that a warm driver will serve; the first one gets it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spec: dict[str, Any] | None = None
        self._given_up = False

    def take(self, spec: dict[str, Any]) -> bool:
        """Claim it; False when it has a session already, or is on its way out."""
        with self._changed:
            if self._given_up or (self._spec is not None and self._spec != spec):
                return False
            self._spec = spec
            self._changed.notify_all()
            return True

    def give_up(self) -> bool:
        """Let nobody claim it any more; False when somebody has."""
        with self._changed:
            if self._spec is None:
                self._given_up = True
                self._changed.notify_all()
            return self._given_up

    @property
    def waits(self) -> bool:
        """Whether there is no session yet, and may be one."""
        with self._changed:
            return self._spec is None and not self._given_up

    def wait(self) -> dict[str, Any] | None:
        """What the session asks for; None when there will be none. On the main thread signals get their turn."""
        with self._changed:
            while self._spec is None and not self._given_up:
                self._changed.wait(1.0)
            return self._spec


class Outside:
    """What of this process a warm-up may change, to be put back for the session."""

    def __init__(self) -> None:
        self._environ = dict(os.environ)
        self._path = list(sys.path)
        self._folder = os.getcwd()  # noqa: PTH109 - plain strings here

    def restore(self) -> None:
        """Put variables, module path and working folder back."""
        for name in set(os.environ) - set(self._environ):
            del os.environ[name]
        os.environ.update(self._environ)
        sys.path[:] = self._path
        os.chdir(self._folder)


def warm_conf(conf: dict[str, str], folder: str) -> dict[str, str]:
    """Settings of a context that nobody uses: no page, no port but on loopback, nothing of a session's own.

    Args:
        conf: What the JVM is started with; and extensions, whose classes are worth loading.
        folder: For what Spark writes.
    """
    return {
        **{key: conf[key] for key in _TAKEN if key in conf},
        "spark.master": "local[2]",
        "spark.app.name": "warm",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.port": "0",
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": str(Path(folder, "warm-warehouse")),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
    }


def exercise(session: Any, folder: str, *, much: bool = False) -> None:
    """Have Spark load what nearly every session uses.

    Args:
        folder: For a file or two.
        much: What fewer sessions use as well, among it Python workers, which stay for a while.
    """
    session.range(10).count()
    grouped = session.range(1000).selectExpr("id % 7 AS k", "id", "cast(id AS string) AS text").groupBy("k")
    grouped.agg({"id": "sum", "text": "max"}).orderBy("k").collect()
    joined = session.sql("SELECT a.id, b.k FROM range(9) a JOIN (SELECT id, id % 2 AS k FROM range(9)) b USING (id)")
    joined.toJSON().take(5)
    if not much:
        return
    place = str(Path(folder, "warm.parquet"))
    session.range(100).selectExpr("id", "date'2024-01-01' AS day").write.mode("overwrite").parquet(place)
    session.read.parquet(place).where("id > 50").count()
    session.sql("SELECT id, row_number() OVER (PARTITION BY id % 3 ORDER BY id) AS n FROM range(20)").collect()
    session.range(5).cache().count()
    session.catalog.listTables()
    session.sparkContext.parallelize([1, 2, 3], 2).map(abs).sum()
    try:
        session.sql("SELECT * FROM no_such_table").count()
    except Exception:  # noqa: BLE001 - its classes are wanted as well
        return
