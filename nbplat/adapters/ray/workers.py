"""What the workers of a Ray cluster have, told by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from nbplat.errors import RemoteError
from nbplat.remote.probe import probe

__all__ = ["probe_workers"]

# Workers start when they are first needed, from an environment that may have to be unpacked.
_LIMIT_S = 300.0


def probe_workers(ray: ModuleType) -> tuple[Mapping[str, Any], ...]:
    """One record of `nbplat.remote.probe` per living node.

    Raises:
        RemoteError: ``ray.worker``: a node gives no answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=1)(probe)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
        for node in nodes
    ]
    try:
        told: list[Mapping[str, Any]] = ray.get(asked, timeout=_LIMIT_S)
    except (ray.exceptions.RayError, TimeoutError) as exc:
        said = (str(exc).splitlines() or ["it took too long"])[0]
        raise RemoteError(
            "ray.worker",
            f"a worker of the Ray cluster gives no answer: {said[:300]}",
            fix="see the cluster's logs: a worker that does not start has another Python, or none",
        ) from None
    return tuple(sorted(told, key=lambda record: str(record["node"])))
