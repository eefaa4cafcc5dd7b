"""When the process of a build dies: the units it was at have had a try, and go last and alone.

Needs the ledger only, so that the worker stays light.
"""

from __future__ import annotations

from nbplat.errors import SetupError
from nbplat.job import Job, JobStore, Unit

__all__ = ["bury"]


def bury(store: JobStore, job: Job, how: str, *, max_attempts: int) -> list[Unit]:
    """Count the try of the units that a job's process had under way when it died of itself.

    Args:
        how: ``died of SIGKILL``.

    Returns:
        Those units; none of an engine that works elsewhere, or when nothing was begun.
    """
    scope = job.params.get("scope")
    if scope is None or job.params.get("engine", "local") != "local":
        return []
    error = SetupError(
        "sequence.died",
        f"the process that worked on this {how}, {max_attempts} times",
        fix="if memory ran out: a higher limits.memory_bytes or a lower limits.threads, then build again",
    )
    worker = f"{job.id}/{job.fence}"
    return [
        unit
        for stage in ("scatter", "shard", "amend", "again-scatter", "again", "compact")
        for unit in store.bury_units(f"{scope}/{stage}", worker, max_attempts=max_attempts, error=error.record())
    ]
