"""Which Spark stands behind a driver: a JVM of its own, that of a cluster's application, or a Connect server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cluster_gateway import cluster_gateway
from .connect_host import ConnectHost
from .spark_host import SparkHost

__all__ = ["ClusterHost", "host_of"]


class ClusterHost(SparkHost):
    """The Spark of a driver that a cluster started: the JVM and its settings are there already."""

    def launch(self, conf: dict[str, str], archives: str = "", write: bool = False) -> None:
        """Connect to the JVM that started this process."""
        self._gateway = cluster_gateway()
        self.calls.guard(self._gateway)

    def close(self, limit_s: float = 10.0) -> None:
        """Stop the context; the JVM ends when this process does."""
        self.release()

    @property
    def jvm_pid(self) -> int | None:
        return None


def host_of(spec: dict[str, Any], say: Callable[[str], Any], progress: Callable[[int, dict[str, Any]], Any]) -> Any:
    """The host for a driver's spec.

    Args:
        progress: Takes the statement's id and how far it is, from a host that tells by itself.
    """
    if "dial" in spec:
        return ClusterHost(say)
    if str(spec.get("conf", {}).get("spark.master", "")).startswith("sc://"):
        return ConnectHost(say, progress)
    return SparkHost(say)
