"""Batches on this machine: spark-submit of the environment's pyspark, detached."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nbplat.adapters.driver.command import in_folder
from nbplat.adapters.driver.kept import (
    ending_of,
    fresh_folder,
    kept_lives,
    kill_kept,
    log_of,
    start_kept,
    write_private,
)
from nbplat.adapters.driver.properties import properties_text
from nbplat.adapters.driver.spark_program import PYSPARK, spark_program

if TYPE_CHECKING:
    from nbplat.session.batch import Batch, BatchProcesses
    from nbplat.session.ports import Ending

__all__ = ["LocalBatches", "spark_submit"]

_LOG = "batch.log"
_CONF = "spark.conf"
# Read by Spark itself, under the user's own rights on them.
_STORES = frozenset(("hdfs", "viewfs", "s3", "s3a", "s3n", "gs", "abfs", "abfss", "wasb", "wasbs", "dbfs", "oss"))
Command = Callable[["Batch", Path], Sequence[str]]


def spark_submit(batch: Batch, conf: Path, interpreter: str = sys.executable) -> list[str]:
    """The command of a batch; settings come from a file, since everybody may read a command."""
    request = batch.request
    name = ["--name", request["name"]] if request.get("name") else []
    main = ["--class", request["className"]] if request.get("className") else []
    whose = ["--proxy-user", batch.proxy_user] if batch.proxy_user else []
    what = [request["file"], *request.get("args", [])]
    words = ["spark-submit", "--properties-file", str(conf), *name, *whose, *main, *what]
    return spark_program(interpreter, batch.conf.get(PYSPARK, ""), words, own=True)


class LocalBatches:
    """Starts each batch in a process group of its own, with a folder of its own.

    Args:
        folder: Holds a folder a batch; made when missing.
        roots: Files below these folders may be run whoever owns them.
        command: What runs a batch, given its file of settings.
    """

    def __init__(self, folder: Path, roots: Sequence[Path] = (), command: Command = spark_submit) -> None:
        self._folder = folder
        self._roots = [root.resolve() for root in roots]
        self._command = command

    def refusal(self, path: str) -> str | None:
        """Why a file must not be run; see `nbplat.session.batch.BatchProcesses`."""
        url = urlsplit(path)
        if url.scheme in _STORES:
            return None
        if url.scheme not in ("", "file", "local") or url.netloc:
            return f"files of {url.scheme or url.netloc}: are not fetched"
        place = Path(unquote(url.path) if url.scheme else path)
        if not place.is_absolute():
            return f"{path} is no absolute path"
        try:
            real = place.resolve()
            if any(root in real.parents for root in self._roots) or real.stat().st_uid == os.getuid():
                return None
        except FileNotFoundError:
            return None  # spark-submit says so in the batch's log, as under Livy
        except (OSError, ValueError, RuntimeError):
            return f"{path} cannot be read"
        return f"Local path {path} cannot be added to user sessions."

    def start(self, batch: Batch) -> dict[str, Any]:
        """Start a batch; see `nbplat.session.batch.BatchProcesses`."""
        folder = self._folder / str(batch.id)
        fresh_folder(folder)
        write_private(folder / _CONF, properties_text(in_folder(dict(batch.conf), folder)))
        return start_kept(folder, _LOG, self._command(batch, folder / _CONF))

    def lives(self, process: Mapping[str, Any]) -> bool:
        """Whether the process is there, and the very same one."""
        return kept_lives(process)

    def ending(self, process: Mapping[str, Any]) -> Ending:
        """How one that has ended came to its end."""
        return ending_of(process, _LOG)

    def kill(self, process: Mapping[str, Any]) -> None:
        """End the whole process group."""
        kill_kept(process)

    def log(self, process: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of the log."""
        return log_of(process, _LOG, after=after, limit=limit)

    def remove(self, process: Mapping[str, Any]) -> None:
        """Delete the folder."""
        shutil.rmtree(process["folder"], ignore_errors=True)


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[BatchProcesses] = LocalBatches
