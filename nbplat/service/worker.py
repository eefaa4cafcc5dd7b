"""The worker: takes jobs, runs each in a child process, keeps their leases. One per state folder.

Run it as ``python -m nbplat.service.worker``; its settings come from ``NBPLAT_*``.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

from nbplat.config import load_config
from nbplat.errors import Conflict, NbplatError, unexpected
from nbplat.job import END_STATES, Job, JobState
from nbplat.service.child import Child, Dead, crash_record, how_it_ended, step_mark
from nbplat.service.discovery import (
    PLATFORM,
    home_hash,
    log_file,
    private_folder,
    service_lock,
    settings_hash,
    worker_lock,
)
from nbplat.service.kept_listener import ListenerKeeper
from nbplat.service.lock import FileLock, holder_of
from nbplat.service.logs import log_to
from nbplat.service.platform import Platform, platform_factory
from nbplat.service.process_tree import marked, signal_all
from nbplat.service.revive import Reviver
from nbplat.service.wake import WakeSocket

__all__ = ["CHILDREN", "Worker", "main"]

CHILDREN = 2
"""Jobs at a time: a short one need not wait behind a long one; more would only share the same memory."""

_IDLE_S = 1.0
_ORPHAN_S = 60.0
_RECENT = 100

_OVER = END_STATES | {JobState.PAUSED}

_log = logging.getLogger("nbplat.worker")


def _nothing() -> None:
    pass


class Worker:
    """The loop. Its caller holds the worker's lock.

    Args:
        factory: The platform factory that each child opens for itself.
        look: Called every round, to look after what else the worker keeps.
        attached: End after a minute without work and without a service (which would start another).
    """

    def __init__(
        self,
        platform: Platform,
        wake: WakeSocket,
        *,
        factory: str,
        attached: bool = False,
        look: Callable[[], None] = _nothing,
    ) -> None:
        self._look = look
        self._platform = platform
        self._store = platform.store
        self._clock = platform.clock
        self._config = platform.config
        self._wake = wake
        self._factory = factory
        self._attached = attached
        self._lease_ms = int(self._config.lease_seconds * 1000)
        self._team = f"{socket.gethostname()}/{home_hash(self._config)}/"
        self._name = f"{self._team}{self._clock.now_ms()}"
        self._children: dict[str, Child] = {}
        self._dead: dict[str, Dead] = {}
        self._stopping = False
        self._beat_at = 0.0
        self._needed_at = self._clock.monotonic_s()

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Give the jobs back and end, after the current round."""
        self._stopping = True

    def run(self) -> None:
        """Work until told to stop."""
        pause = _IDLE_S
        called = True
        taken_over = False
        while not self._stopping and not self._orphaned():
            try:
                if not taken_over:
                    self._take_over()
                    taken_over = True
                self._round(called=called)
                pause = _IDLE_S
            except NbplatError as exc:
                # The store is full, locked or away: the children work on, and we ask again.
                _log.warning("%s", exc)
                pause = min(pause * 2, 10.0)
            called = self._wake.wait(pause)
        self._give_back()

    def _round(self, *, called: bool) -> None:
        self._look()
        self._reap()
        now = self._clock.monotonic_s()
        if called or now >= self._beat_at:
            self._beat()
            for lost in self._platform.end_lost():
                _log.info("job %s: its caller is gone", lost.id)
            self._beat_at = now + self._config.lease_seconds / 3
        while len(self._children) < CHILDREN and not self._stopping:
            job = self._store.claim_job(self._name, lease_ms=self._lease_ms)
            if job is None:
                break
            if job.id in self._children:
                # Paused and resumed while its last process is still ending: taken again when that is gone.
                self._store.release_job(job.id, job.fence)
                break
            self._start(job)
        if self._children:
            self._needed_at = now

    def _take_over(self) -> None:
        """Queue at once what the last worker of this state folder ran: our lock proves that it is dead."""
        signal_all(marked(step_mark(self._config)), signal.SIGKILL)
        for job in self._store.jobs(states={JobState.RUNNING}, limit=_RECENT):
            if job.worker and job.worker.startswith(self._team):
                _log.info("job %s: taken over", job.id)
                self._store.release_job(job.id, job.fence)
        for job in self._store.jobs(states=END_STATES, limit=_RECENT):
            self._settle(job)

    def _start(self, job: Job) -> None:
        if job.cancel_requested:
            self._settle(self._store.finish_job(job.id, job.fence, JobState.CANCELLED))
            return
        if job.pause_requested:
            self._store.pause_job(job.id, job.fence)
            return
        child = Child(self._config, self._clock, job, factory=self._factory)
        child.write_log(f"try {job.attempts} of {job.kind} for {job.run_id} starts")
        self._children[job.id] = child
        _log.info("job %s: started (%s, fence %d)", job.id, job.kind, job.fence)

    def _beat(self) -> None:
        for child in self._children.values():
            if child.exit_code is not None:
                continue
            try:
                job = self._store.heartbeat(child.job.id, child.job.fence, lease_ms=self._lease_ms)
            except Conflict as exc:
                # Either the child has just ended or paused the job, or another worker has it: this try is over.
                if self._store.job(child.job.id).state not in _OVER:
                    _log.warning("job %s: %s", child.job.id, exc)
                    child.lost = True
                    child.end()
                continue
            if job.cancel_requested:
                child.end()

    def _reap(self) -> None:
        for job_id, child in list(self._children.items()):
            code = child.exit_code
            if code is None:
                child.press()
                continue
            child.bury()
            self._record(child, code)
            # Only now: when the store failed, the next round records it.
            del self._children[job_id]

    def _record(self, child: Child, code: int) -> None:
        """Make the ledger tell what became of a step that has ended."""
        job = self._store.job(child.job.id)
        _log.info("job %s: process ended with %d, job is %s", job.id, code, job.state)
        if job.fence == child.job.fence and job.state is JobState.RUNNING and not child.lost:
            if job.cancel_requested:
                child.write_log("cancelled")
                job = self._store.finish_job(job.id, job.fence, JobState.CANCELLED)
            elif self._stopping:
                child.write_log("the worker stops; the job goes on with the next one")
                self._store.release_job(job.id, job.fence)
                return
            elif (dead := self._buried(child, code)).tried_again(code):
                files = f" with {dead.blamed} units under way" if dead.blamed else ""
                child.write_log(f"{how_it_ended(code)}{files}; tried again")
                self._store.release_job(job.id, job.fence)
                return
            else:
                error = crash_record(code, job, dead.deaths)
                child.write_log(str(error))
                job = self._store.finish_job(job.id, job.fence, JobState.FAILED, error=error.record())
        if job.state in END_STATES:
            self._dead.pop(job.id, None)
            self._settle(job)

    def _buried(self, child: Child, code: int) -> Dead:
        """Count a step that died of itself, once: a store that fails is asked again."""
        if child.dead is None:
            job_id = child.job.id
            blamed = len(self._platform.bury(child.job, how_it_ended(code)))
            before = self._dead.get(job_id, Dead(0, 0, 0))
            child.dead = Dead(blamed, before.crashes + (not blamed), before.deaths + 1)
            self._dead[job_id] = child.dead
        return child.dead

    def _settle(self, job: Job) -> None:
        try:
            self._platform.settle(job)
        except Exception as exc:  # noqa: BLE001 - one run that cannot be settled must not stop the others
            _log.exception("job %s: not settled [%s]", job.id, unexpected(exc).detail_id)

    def _orphaned(self) -> bool:
        if not self._attached:
            return False
        now = self._clock.monotonic_s()
        # Asked each time: a service that was killed just now is being brought back, by us.
        if holder_of(service_lock(self._config)) is not None:
            self._needed_at = now
        return now - self._needed_at >= _ORPHAN_S

    def _give_back(self) -> None:
        for child in self._children.values():
            child.end()
        while self._children:
            try:
                self._reap()
            except NbplatError as exc:
                # What cannot be released lapses, and the next worker takes it over.
                _log.warning("%s", exc)
            if self._children:
                self._wake.wait(0.1)


def main(argv: list[str] | None = None) -> int:
    """Run the worker of the state folder; ends at once when another has the lock."""
    parser = argparse.ArgumentParser(prog="nbplat.service.worker")
    parser.add_argument("--platform", default=PLATFORM, help="module:function that opens the platform")
    parser.add_argument("--attached", action="store_true", help="end when idle and the service is gone")
    options = parser.parse_args(argv)
    config = load_config()
    private_folder(config.home / "run")
    lock = FileLock(worker_lock(config))
    if not lock.take({"settings": settings_hash(config)}):
        return 0
    log_to(log_file(config, "worker.log"))
    try:
        wake = WakeSocket(config)
        platform = platform_factory(options.platform)(config)
        reviver = Reviver(config, factory=options.platform)
        keeper = ListenerKeeper(config, reviver.revive)
        worker = Worker(platform, wake, factory=options.platform, attached=options.attached, look=keeper.look)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, worker.stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop when a child ends
        _log.info("worker started")
        worker.run()
        reviver.end()
        keeper.close()
        _log.info("worker stopped")
        wake.close()
        platform.close()
    except NbplatError as exc:
        _log.error("%s", exc)
        return exc.exit_code
    except Exception:
        _log.exception("worker failed")
        raise
    finally:
        lock.release()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
