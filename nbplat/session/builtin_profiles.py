"""The profiles that every site has until it declares its own under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BUILTIN"]

# What a job of megabytes wants: few tasks, no code generation that takes longer than the query, plans in memory.
_SMALL = {
    "spark.sql.shuffle.partitions": "4",
    "spark.default.parallelism": "4",
    "spark.sql.adaptive.coalescePartitions.initialPartitionNum": "4",
    "spark.sql.autoBroadcastJoinThreshold": "64m",
    "spark.ui.showConsoleProgress": "false",
}

BUILTIN: Mapping[str, Mapping[str, Any]] = {
    "default": {"about": "Spark's own settings and the site's"},
    "small": {"about": "quick answers on small data: few tasks, broadcast joins", "conf": _SMALL},
}
