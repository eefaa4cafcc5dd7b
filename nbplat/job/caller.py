"""Jobs that their caller's own process does: begun there, kept alive from there, ended for it when it has died.

Training runs where the model is, in a notebook or a script. Its job stands in the ledger all the same, so that every
surface shows it; no worker takes it, since only that process holds the model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from nbplat.clock import Clock
from nbplat.errors import Conflict, InternalError, NbplatError, RemoteError, RequestError, unexpected
from nbplat.job.beat import beating
from nbplat.job.ports import JobStore
from nbplat.job.record import CALLER, Job, JobDraft
from nbplat.job.states import JobState
from nbplat.terms import Progress

__all__ = ["Caller", "CallerJob", "end_lost", "in_caller"]

# How soon a person's Cancel is heard, and how often figures change: one write each.
_BEAT_MS = 3_000
_SHOWN_EVERY_S = 0.5
_ALL = 1_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A process, told from a later one that got its id.

    Attributes:
        host: Name of its machine.
        born: When it started, seconds since the epoch.
    """

    host: str
    pid: int
    born: float

    @property
    def worker(self) -> str:
        """Its name as the holder of a job."""
        return f"{CALLER}{self.host}/{self.pid}/{self.born:.2f}"

    @classmethod
    def of(cls, worker: str | None) -> Caller | None:
        """Read what `worker` wrote; None for a holder of another kind."""
        if worker is None or not worker.startswith(CALLER):
            return None
        host, pid, born = worker.removeprefix(CALLER).rsplit("/", 2)
        return cls(host, int(pid), float(born))


@dataclass(slots=True)
class CallerJob:
    """A job under way in this process.

    Attributes:
        result: Set it before the block ends; kept with the job.
    """

    job: Job
    _store: JobStore
    _clock: Clock
    _lease_ms: int
    result: Mapping[str, Any] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)
    _shown_at: float = float("-inf")

    def progress(self, progress: Progress) -> None:
        """Show how far it is, twice a second at most, and at its end.

        Raises:
            Conflict: ``job.cancelled``: a person asked to end it.
        """
        if self.cancelled.is_set():
            raise Conflict(
                "job.cancelled",
                f"{self.job.run_id} was cancelled (job {self.job.id})",
                fix="nothing of it is kept; run it again when it is wanted",
            )
        now = self._clock.monotonic_s()
        if now - self._shown_at >= _SHOWN_EVERY_S or 0 < progress.total == progress.done:
            self._shown_at = now
            self._store.report(self.job.id, self.job.fence, progress)

    def beat(self) -> None:
        """Keep the lease, and hear whether somebody asked to end it."""
        if self._store.heartbeat(self.job.id, self.job.fence, lease_ms=self._lease_ms).cancel_requested:
            self.cancelled.set()


@contextmanager
def in_caller(
    store: JobStore,
    draft: JobDraft,
    *,
    kind_of_run: str,
    owner: str,
    caller: Caller,
    lease_ms: int,
    clock: Clock,
    settle: Callable[[Job], None],
) -> Iterator[CallerJob]:
    """A job around a block of this process; what the block raises ends it, and is raised on.

    An interrupt, or a cancel from elsewhere, ends it as cancelled; anything else as failed.

    Args:
        caller: This process.
        settle: Carries the job's run on when it has ended.

    Raises:
        Conflict: the run has a live job.
    """
    begun = store.begin_job(draft, kind_of_run=kind_of_run, owner=owner, worker=caller.worker, lease_ms=lease_ms)
    held = CallerJob(begun, store, clock, lease_ms)

    def end(state: JobState, error: NbplatError | None = None) -> None:
        record = None if error is None else error.record()
        result = dict(held.result) if state is JobState.SUCCEEDED else None
        # Another machine took a long sleep for our death and has ended it: what was done here stands nevertheless.
        with suppress(Conflict):
            settle(store.finish_job(begun.id, begun.fence, state, result=result, error=record))

    try:
        with beating(held.beat, lease_ms=min(lease_ms, _BEAT_MS), name=f"caller-{begun.id}"):
            yield held
    except Exception as exc:
        if held.cancelled.is_set():
            end(JobState.CANCELLED)
        else:
            end(JobState.FAILED, _told(exc))
        raise
    except BaseException:
        end(JobState.CANCELLED)
        raise
    end(JobState.SUCCEEDED)


def end_lost(
    store: JobStore, *, host: str, lives: Callable[[Caller], bool], now_ms: int, settle: Callable[[Job], None]
) -> list[Job]:
    """End the jobs whose callers have died: at once on this machine, after their lease on another.

    Args:
        host: This machine.
        lives: Whether a process of this machine is there.

    Returns:
        The jobs that were ended, as failed with ``job.lost``.
    """
    ended = []
    for job in store.jobs(states={JobState.RUNNING}, limit=_ALL):
        caller = Caller.of(job.worker)
        if caller is None:
            continue
        lost = not lives(caller) if caller.host == host else job.until_ms is not None and job.until_ms <= now_ms
        if not lost:
            continue
        error = RemoteError(
            "job.lost",
            f"process {caller.pid} on {caller.host}, which did {job.run_id}, is gone",
            fix="run it again: it ends with the notebook or script that runs it",
        )
        # It may have ended this very moment, or another process was first.
        with suppress(Conflict):
            ended.append(store.finish_job(job.id, job.fence, JobState.FAILED, error=error.record()))
            settle(ended[-1])
    return ended


def _told(exc: Exception) -> NbplatError:
    """What the ledger says of it. The text of an error that is not ours may hold data: it stays where it was."""
    error = unexpected(exc)
    if not isinstance(error, InternalError) or isinstance(exc, NbplatError):
        return error
    return RequestError(
        "job.raised",
        f"the code that ran raised {type(exc).__name__}",
        fix="its text stands where it was run; mend it, then run it again",
    )
