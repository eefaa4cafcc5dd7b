"""When the process of staging dies: the files it was at have had a try, and go last and alone.

So a file that kills the process each time ends with an error of its own, while all others are done.
Needs the ledger only, so that the worker stays light.
"""

from __future__ import annotations

from nbplat.backfill.states import KIND, Step, stage_scope
from nbplat.errors import SetupError
from nbplat.job import Job, JobStore, Unit

__all__ = ["bury"]


def bury(store: JobStore, job: Job, how: str, *, max_attempts: int) -> list[Unit]:
    """Count the try of the files that a job's process had under way when it died of itself.

    Not for a process that was ended in good order, or with its worker: then no file is to blame.

    Args:
        how: ``died of SIGKILL``.

    Returns:
        Those files; none for another step, or another engine than ``local``, which works elsewhere.
    """
    if job.kind != Step.STAGE:
        return []
    run = store.run(KIND, job.run_id)
    if run.plan["engine"] != "local":
        return []
    error = SetupError(
        "stage.died",
        f"the process that staged this file {how}, {max_attempts} times",
        fix=f"see `%backfill logs {run.id}`; if memory ran out: a higher limits.memory_bytes or a lower limits.threads,"
        f" then `%backfill retry {run.id}`",
    )
    worker = f"{job.id}/{job.fence}"
    return store.bury_units(stage_scope(run.id), worker, max_attempts=max_attempts, error=error.record())
