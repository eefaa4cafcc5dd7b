"""The one Spark session of a process, started when first asked for."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nbplat.adapters.spark.session import SparkSettings, spark_session
from nbplat.remote.bundle import write_bundle

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["SparkHost"]


class SparkHost:
    """Starts a session at the first question and ends it at `close`; then the next question starts another.

    Args:
        settings: Asked for when the session starts, so that a missing jar is told then.
    """

    def __init__(self, settings: Callable[[], SparkSettings]) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._session: SparkSession | None = None
        self._guard = threading.Lock()

    def session(self, say: Callable[[str], None] = lambda line: None) -> SparkSession:
        """The session; its executors have `nbplat.remote` and nothing else of nbplat."""
        with self._guard:
            if self._session is None:
                settings = self._settings()
                # What Spark itself leaves there is of no use to anybody once it has ended.
                self._stack.callback(shutil.rmtree, settings.scratch, ignore_errors=True)
                session = self._stack.enter_context(spark_session(settings, say=say))
                session.sparkContext.addPyFile(write_bundle(str(settings.scratch)))
                self._session = session
            return self._session

    def close(self) -> None:
        """End the session, if there is one."""
        with self._guard:
            self._session = None
            self._stack.close()
