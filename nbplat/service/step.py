"""One try of one job, in a process of its own: ``python -m nbplat.service.step JOB_ID FENCE``.

What it prints is the job's log. Its exit code says only whether the end of the job was recorded.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback

from nbplat.clock import iso
from nbplat.config import load_config
from nbplat.errors import NbplatError, unexpected
from nbplat.job import Job, JobPaused, JobState, JobStore, StepContext
from nbplat.service.discovery import PLATFORM
from nbplat.service.platform import Platform, platform_factory
from nbplat.terms import Progress

__all__ = ["PROGRESS_S", "StoreReport", "main"]

PROGRESS_S = 0.2
"""Five times a second is what an eye follows; each report is a write."""


class StoreReport:
    """A `StepReport` that writes progress to the store in a bounded rhythm and lines to standard output."""

    def __init__(self, store: JobStore, job: Job) -> None:
        self._store = store
        self._job = job
        self._lock = threading.Lock()
        self._pending: Progress | None = None
        self._sent_at = 0.0
        self._timer: threading.Timer | None = None
        self._failure: NbplatError | None = None

    def progress(self, progress: Progress) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._pending = progress
            if (wait := self._sent_at + PROGRESS_S - time.monotonic()) <= 0:
                self._send()
            elif self._timer is None:
                # A step may be silent for long after this: what it said last is shown all the same.
                self._timer = threading.Timer(wait, self._late)
                self._timer.daemon = True
                self._timer.start()

    def log(self, text: str) -> None:
        print(f"{iso(time.time_ns() // 1_000_000)} {text}", flush=True)  # noqa: T201 - standard output is the log

    def checkpoint(self) -> None:
        job = self._store.job(self._job.id)
        if job.fence == self._job.fence and job.pause_requested:
            self.flush()
            raise JobPaused

    def flush(self) -> None:
        """Send what is held back."""
        with self._lock:
            self._send()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self._send()
            except NbplatError as exc:
                self._failure = exc  # raised in the step's own thread, at its next word

    def _send(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._sent_at = time.monotonic()
            self._store.report(self._job.id, self._job.fence, pending)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nbplat.service.step")
    parser.add_argument("job_id")
    parser.add_argument("fence", type=int)
    parser.add_argument("--platform", default=PLATFORM)
    parser.add_argument("--lifeline", type=int, default=-1)
    options = parser.parse_args(argv)
    if options.lifeline >= 0:
        os.set_inheritable(options.lifeline, False)
        threading.Thread(target=_end_with_worker, args=(options.lifeline,), daemon=True).start()
    platform = platform_factory(options.platform)(load_config())
    try:
        return _run(platform, platform.store.job(options.job_id), options.fence)
    finally:
        platform.close()


def _run(platform: Platform, job: Job, fence: int) -> int:
    if job.fence != fence or job.state is not JobState.RUNNING:
        print(f"job {job.id} is {job.state} under fence {job.fence}: this try is over", flush=True)  # noqa: T201
        return 1
    report = StoreReport(platform.store, job)
    try:
        # The worker's name tells the tries apart, so that a later one can give back what an earlier one held.
        result = platform.run_step(StepContext(job=job, worker=f"{job.id}/{fence}", report=report))
        report.flush()
        ended = platform.store.finish_job(job.id, fence, JobState.SUCCEEDED, result=result)
        report.log("succeeded")
    except JobPaused:
        return _pause(platform.store, job, report)
    except Exception as exc:  # noqa: BLE001 - every failure of a step becomes its job's record
        error = unexpected(exc)
        if not isinstance(exc, NbplatError):
            report.log(f"log id {error.detail_id}")
            traceback.print_exc()
        report.log(f"failed: {error}")
        try:
            # A cancelled step may see its own children die first and take that for a failure.
            cancelled = platform.store.job(job.id).cancel_requested
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            ended = platform.store.finish_job(job.id, fence, state, error=None if cancelled else error.record())
        except NbplatError as refused:
            report.log(f"not recorded: {refused}")
            return 1
    platform.settle(ended)
    return 0


def _pause(store: JobStore, job: Job, report: StoreReport) -> int:
    try:
        store.pause_job(job.id, job.fence)
    except NbplatError as refused:
        report.log(f"not recorded: {refused}")
        return 1
    report.log("paused; what is finished stays")
    return 0


def _end_with_worker(lifeline: int) -> None:
    """Wait for the worker's death, then end this process and all that descend from it.

    Not Linux's PR_SET_PDEATHSIG: its signal comes before this thread can name the grandchildren, which
    would then outlive us.
    """
    while os.read(lifeline, 1):
        pass
    from nbplat.service.process_tree import signal_all, tree_of

    mine = [process for process in tree_of(os.getpid()) if process.pid != os.getpid()]
    signal_all(mine, signal.SIGKILL, group=os.getpgid(0))
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
