"""What the Python workers of a session have, told by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.errors import SetupError
from nbplat.remote.probe import probe_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["probe_workers"]

# More tasks than cores, so that every executor is likely to get one; a few are enough to find what differs.
_TASKS_PER_CORE = 2
_TASKS = 64
_MISMATCH = re.compile(r"Python in worker has different version: ?\(?'?(\d+)[.', ]+(\d+)")
_UNSTARTED = re.compile(r'Cannot run program "([^"]+)"')


def probe_workers(session: SparkSession) -> tuple[tuple[Mapping[str, Any], ...], str]:
    """Ask the workers.

    Returns:
        One record of `nbplat.remote.probe` per node and interpreter; and the workers' Python when they run another
        minor version than the driver, in which case Spark lets them run nothing and there is no record.

    Raises:
        SetupError: ``env.workers``: the workers' Python does not start.
    """
    context = session.sparkContext
    tasks = min(max(context.defaultParallelism, 1) * _TASKS_PER_CORE, _TASKS)
    try:
        told = context.parallelize(range(tasks), tasks).mapPartitions(probe_rows).collect()
    except Exception as exc:
        said = str(exc)
        if found := _MISMATCH.search(said):
            return (), f"{found[1]}.{found[2]}"
        if found := _UNSTARTED.search(said):
            raise SetupError(
                "env.workers",
                f"Spark's workers cannot start their Python: there is no {found[1]} on their nodes",
                fix="set spark.pyspark.python to an interpreter that every node has, or ship one: "
                "nbplat env push NAME URI",
                where=found[1],
            ) from exc
        raise
    records = {(record["node"], record["executable"]): record for record in map(json.loads, told)}
    return tuple(records[place] for place in sorted(records)), ""
