"""The JVM of a cluster's application, which started this process: one connection for all who speak to it."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["cluster_gateway"]


@functools.lru_cache(maxsize=1)
def cluster_gateway() -> Any:
    """Connect to it; once."""
    from pyspark.java_gateway import launch_gateway

    start: Any = launch_gateway
    return start()
