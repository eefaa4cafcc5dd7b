"""Do queued jobs in this very process, one after the other: for scripts and tests that want no service."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from nbplat.errors import NbplatError, unexpected
from nbplat.job.beat import beating
from nbplat.job.ports import JobStore
from nbplat.job.record import Job
from nbplat.job.states import JobState
from nbplat.job.step import JobPaused, StepContext
from nbplat.terms import Progress

__all__ = ["work_inline"]


def work_inline(
    store: JobStore,
    worker: str,
    run_step: Callable[[StepContext], dict[str, Any]],
    settle: Callable[[Job], None],
    *,
    lease_ms: int,
) -> list[Job]:
    """Claim and do jobs until none is left.

    Args:
        worker: Name to claim under.
        settle: Carries a job's run on; may queue the next job, which is then done too.
        lease_ms: Renewed at a third of its time, so that a killed script's jobs are free soon.

    Returns:
        The ended jobs in order, and those that were paused. A job that failed with one of our errors is among them,
        not raised.

    Raises:
        Exception: what a step raised that is not ours; its job is recorded as failed.
    """
    ended: list[Job] = []
    while (job := store.claim_job(worker, lease_ms=lease_ms)) is not None:
        try:
            with _kept(store, job, lease_ms):
                result = run_step(StepContext(job, f"{job.id}/{job.fence}", _Report(store, job)))
            job = store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result=result)
        except JobPaused:
            ended.append(store.pause_job(job.id, job.fence))
            continue
        except NbplatError as error:
            job = store.finish_job(job.id, job.fence, JobState.FAILED, error=error.record())
        except Exception as exc:
            # The caller gets what was raised; the record, which travels, says no more than it may.
            job = store.finish_job(job.id, job.fence, JobState.FAILED, error=unexpected(exc).record())
            settle(job)
            raise
        except BaseException:
            # Ctrl-C in a notebook: the next call goes on with the job.
            store.release_job(job.id, job.fence)
            raise
        settle(job)
        ended.append(job)
    return ended


def _kept(store: JobStore, job: Job, lease_ms: int) -> AbstractContextManager[None]:
    beat = functools.partial(store.heartbeat, job.id, job.fence, lease_ms=lease_ms)
    return beating(beat, lease_ms=lease_ms, name=f"heartbeat-{job.id}")


@dataclass(frozen=True, slots=True)
class _Report:
    store: JobStore
    job: Job

    def progress(self, progress: Progress) -> None:
        self.store.report(self.job.id, self.job.fence, progress)

    def checkpoint(self) -> None:
        if self.store.job(self.job.id).pause_requested:
            raise JobPaused

    def log(self, text: str) -> None:
        """Nobody reads it: the caller has the job's result at hand."""
