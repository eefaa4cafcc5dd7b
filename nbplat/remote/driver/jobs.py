"""Jobs of Livy's Python client: pickled functions of a context, and the files that a session is given for them."""

from __future__ import annotations

import base64
import importlib
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["JOB_RESULT", "JobContext", "add_to_session", "run_job"]

JOB_RESULT = "application/vnd.nbplat.job-result"
_LARGEST = 32 << 20


class JobContext:
    """What a job is called with.

    Args:
        session: The SparkSession; None in a session without Spark.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._folder = ""

    @property
    def spark_session(self) -> Any:
        """The SparkSession."""
        if self._session is None:
            raise RuntimeError("this session has no Spark")
        return self._session

    @property
    def sc(self) -> Any:
        """The SparkContext."""
        return self.spark_session.sparkContext

    @property
    def sql_ctx(self) -> Any:
        """The SparkSession, which has the methods that jobs call on an SQLContext."""
        return self.spark_session

    @property
    def hive_ctx(self) -> Any:
        """As `sql_ctx`."""
        return self.spark_session

    @property
    def local_tmp_dir(self) -> str:
        """A folder of the session's own, kept while the session lives."""
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="job-", dir=str(Path.cwd()))
        return self._folder


def run_job(context: JobContext, text: str) -> dict[str, str]:
    """Call a job.

    Args:
        text: Base64 of the function, pickled by value.

    Returns:
        By `JOB_RESULT`: base64 of base64 of the pickled value, as Livy's client unwraps it.

    Raises:
        ValueError: the job is no such text, or its value takes more than 32 MiB.
        Whatever the job raises.
    """
    function = pickle.loads(base64.b64decode(text, validate=True))  # noqa: S301 - running the user's code is the purpose
    value = _cloudpickle().dumps(function(context))
    if len(value) > _LARGEST:
        raise ValueError(f"the job's value takes {len(value):,} bytes, over {_LARGEST:,}: write it to a file")
    return {JOB_RESULT: base64.b64encode(base64.b64encode(value)).decode()}


def add_to_session(session: Any, kind: str, uri: str) -> None:
    """Give a session a file.

    Args:
        session: The SparkSession; None in a session without Spark, whose own Python then finds modules only.
        kind: ``jar``, ``pyfile`` or ``file``.
    """
    if session is None:
        _find_module(kind, uri)
    elif type(session).__module__.startswith("pyspark.sql.connect."):
        session.addArtifacts(uri, pyfile=kind == "pyfile", file=kind == "file")
        # The server's workers have it; this Python has not.
        _find_module(kind, uri)
    else:
        context = session.sparkContext
        java = context._jsc  # noqa: SLF001 - Python has no method for jars
        add = {"jar": java.addJar, "pyfile": context.addPyFile, "file": context.addFile}[kind]
        add(uri)
    importlib.invalidate_caches()


def _find_module(kind: str, uri: str) -> None:
    if kind == "pyfile":
        place = uri if uri.endswith((".zip", ".egg", ".whl")) else str(Path(uri).parent)
        if place not in sys.path:
            sys.path.insert(1, place)


def _cloudpickle() -> Any:
    for name in ("pyspark.cloudpickle", "cloudpickle"):
        if name.partition(".")[0] in sys.modules:
            return importlib.import_module(name)
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return importlib.import_module("pyspark.cloudpickle")
