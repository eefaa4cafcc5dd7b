"""Spark Connect in the driver: no JVM here, jobs known by a tag, progress told by the server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .jvm_calls import JvmCalls
from .progress import fraction, group_of

__all__ = ["ConnectHost"]

_ARTIFACTS = "spark.nbplat.environment.artifacts"
# Ours, and where it runs: not for the server.
_NOT_SENT = ("spark.nbplat.", "spark.master", "spark.app.name", "spark.submit.")


class ConnectHost:
    """The remote Spark session of one session; the same calls as `SparkHost`.

    Args:
        say: Takes lines for the driver's log.
        progress: Takes the statement's id and how far it is.
    """

    def __init__(self, say: Callable[[str], Any], progress: Callable[[int, dict[str, Any]], Any]) -> None:
        self._say = say
        self._progress = progress
        self._running: int | None = None
        self._best = 0.0
        self._told: dict[str, Any] = {}
        self.session: Any = None
        self.archive: Any = None
        self.calls = JvmCalls()  # none is made here

    def launch(self, conf: dict[str, str], archives: str = "", write: bool = False) -> None:
        """Nothing starts here."""

    def claim(self, conf: dict[str, str]) -> dict[str, Any]:
        """Connect, send the environment, and set what can be set in a running server.

        Returns:
            As `SparkHost.claim`; ``app_id`` is the server's id of this session.

        Raises:
            ValueError: the server does not let a session change a setting.
            Whatever pyspark says of a server that does not answer, or of a missing gRPC.
        """
        from pyspark.sql import SparkSession

        url = conf["spark.master"]
        session = SparkSession.builder.remote(url).create()
        self.session = session
        for artifact in filter(None, conf.get(_ARTIFACTS, "").split(",")):
            session.addArtifacts(artifact, archive=True)
        for key, value in conf.items():
            if not key.startswith(_NOT_SENT):
                self._set(key, value)
        session.registerProgressHandler(self._on_progress)
        return {
            "app_id": session.session_id,
            "ui": None,
            "master": url.partition(";")[0],
            "version": session.version,
            "python": sys.version.split()[0],
        }

    def release(self) -> None:
        """End the session at the server, which goes on."""
        session, self.session = self.session, None
        if session is not None:
            session.stop()

    def close(self) -> None:
        """As `release`."""
        self.release()

    def names(self) -> dict[str, Any]:
        """What a session's cells find: ``spark``. There is no SparkContext."""
        return {} if self.session is None else {"spark": self.session, "sqlContext": self.session}

    def begin(self, statement: int) -> None:
        """Tag what runs next on this thread."""
        if self.session is not None:
            self.session.clearTags()
            self.session.addTag(group_of(statement))
        self._running, self._best, self._told = statement, 0.0, {}

    def cancel(self, statement: int) -> None:
        """End the operations of a statement."""
        if self.session is not None:
            self.session.interruptTag(group_of(statement))

    def tracker(self) -> Any:
        """None: the server tells by itself."""
        return None

    archive_name = None
    gateway = None

    @property
    def jvm_pid(self) -> int | None:
        """None: there is no JVM here."""
        return None

    def _set(self, key: str, value: str) -> None:
        try:
            self.session.conf.set(key, value)
        except Exception as exc:
            first = str(exc).partition("\n")[0]
            raise ValueError(f"a Spark Connect server does not let a session set {key}: {first}") from exc

    def _on_progress(self, stages: Any, inflight_tasks: int, done: bool, **_: Any) -> None:
        statement = self._running
        found = [
            {
                "id": one.stage_id,
                "name": "",
                "done": one.num_completed_tasks,
                "active": 0,
                "failed": 0,
                "total": one.num_tasks,
            }
            for one in stages or ()
        ]
        if statement is None or not found:
            return
        totals = {name: sum(one[name] for one in found) for name in ("done", "failed", "total")}
        told = {"jobs": 1, **totals, "active": inflight_tasks, "stages": found[-20:]}
        if told != self._told:
            self._told = told
            self._best = max(self._best, fraction(totals["done"], totals["total"]))
            self._progress(statement, {**told, "fraction": self._best})
