"""The process of one try of one job, as its worker sees it."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass

from nbplat.clock import Clock, iso
from nbplat.config import Config
from nbplat.errors import InternalError, NbplatError, SetupError
from nbplat.job import Job
from nbplat.service.discovery import STEP_VARIABLE, environ_of, home_hash, log_file, module_command
from nbplat.service.process_tree import marked, signal_all, tree_of

__all__ = ["GRACE_S", "MAX_CRASHES", "MAX_DEATHS", "Child", "crash_record", "how_it_ended", "job_log", "step_mark"]

GRACE_S = 5.0
"""What a cancelled step gets to put its things in order."""

MAX_CRASHES = 3
"""Of one job, when no unit takes the blame."""

MAX_DEATHS = 24
"""Of one job altogether: enough to name several poison units, not to die for each of thousands."""


def job_log(config: Config, job_id: str) -> str:
    """Where a job's output goes; the tries of a job share one file."""
    return str(log_file(config, f"jobs/{job_id}.log"))


def step_mark(config: Config, job_id: str = "") -> str:
    """The mark of the steps of this state folder, or of one job's."""
    return f"{home_hash(config)}:{job_id}"


@dataclass(frozen=True, slots=True)
class Dead:
    """What is known of a step that died of itself.

    Attributes:
        blamed: How many units it had under way, whose try counts.
        crashes: How often the job's process has died with no unit to blame; this time included.
        deaths: How often it has died altogether.
    """

    blamed: int
    crashes: int
    deaths: int

    def tried_again(self, exit_code: int) -> bool:
        """True when the job goes on; a bare exit without a unit to blame is final."""
        if self.deaths >= MAX_DEATHS:
            return False
        return bool(self.blamed) or (exit_code < 0 and self.crashes < MAX_CRASHES)


class Child:
    """A running step in a session of its own.

    Attributes:
        lost: True when another worker has its job.
        dead: Set once it is known to have died of itself.

    The child holds the read end of a pipe whose write end only this process has: when this process
    dies, however it dies, the child reads the end of the pipe and ends its whole group.

    Args:
        factory: The platform factory, ``module:function``.
    """

    def __init__(self, config: Config, clock: Clock, job: Job, *, factory: str) -> None:
        self.job = job
        self.lost = False
        self.dead: Dead | None = None
        self._config = config
        self._clock = clock
        self._kill_at: float | None = None
        theirs, self._lifeline = os.pipe()
        mark = step_mark(config, job.id)
        log = os.open(job_log(config, job.id), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                module_command(
                    "nbplat.service.step", job.id, str(job.fence), "--platform", factory, "--lifeline", str(theirs)
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs,),
                start_new_session=True,
                cwd=config.home,
                env={**environ_of(config), STEP_VARIABLE: mark, "PYTHONUNBUFFERED": "1"},
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)
            os.close(log)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def end(self) -> None:
        """Ask the tree to end; `press` insists when the grace is over. Once is enough."""
        if self._kill_at is None:
            self._kill_at = self._clock.monotonic_s() + GRACE_S
            signal_all(tree_of(self._process.pid), signal.SIGTERM, group=self._process.pid)

    def press(self) -> None:
        """Kill what is left of a tree that was asked to end and had its time."""
        if self._kill_at is not None and self._clock.monotonic_s() >= self._kill_at:
            signal_all(tree_of(self._process.pid), signal.SIGKILL, group=self._process.pid)

    def bury(self) -> None:
        """Clear up after the step has ended: nothing that it started outlives it."""
        self._process.wait()
        signal_all(marked(step_mark(self._config, self.job.id)), signal.SIGKILL, group=self._process.pid)
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def write_log(self, text: str) -> None:
        """Add a line of the worker's to the job's log."""
        with open(job_log(self._config, self.job.id), "a") as file:  # noqa: PTH123
            file.write(f"{iso(self._clock.now_ms())} [worker] {text}\n")


def how_it_ended(exit_code: int) -> str:
    """What became of a process, for people: ``died of SIGKILL``, ``ended with code 3``."""
    return f"died of {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"


def crash_record(exit_code: int, job: Job, times: int = MAX_CRASHES) -> NbplatError:
    """Why a step that left no result ended, the last of so many times."""
    fix = f"read the job's log ({job.id}), then run it again"
    if exit_code == -signal.SIGKILL:
        return SetupError(
            "step.killed",
            f"the process of {job.kind} was killed (SIGKILL) {times} times; a machine short of memory does that",
            fix="lower limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES) or free memory, then run it again",
            where=job.id,
        )
    if exit_code < 0:
        message = f"the process of {job.kind} {how_it_ended(exit_code)} {times} times"
        return InternalError("step.crashed", message, fix=fix, where=job.id)
    message = f"the process of {job.kind} {how_it_ended(exit_code)} and no result"
    return InternalError("step.exit", message, fix=fix, where=job.id)
