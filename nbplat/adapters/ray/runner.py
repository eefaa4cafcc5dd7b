"""Runs pieces of staging as Ray tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from nbplat.adapters.ray.cluster import RaySettings, cluster
from nbplat.remote.failure import KernelError, failed
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task

__all__ = ["RayRunner"]

# How long one wait for a result lasts; between two the caller's thread can be interrupted.
_WAIT_S = 1.0


class RayRunner:
    """The ``ray`` engine's runner.

    The cluster is reached at the first question and let go by `close`.
    """

    name = "ray"
    whole = False

    def __init__(self, settings: RaySettings, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._stack = ExitStack()
        self._module: ModuleType | None = None

    @property
    def slots(self) -> int:
        """CPUs of the cluster: a task takes one."""
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """Keep `slots` tasks in flight; yield each task's results as it ends.

        Ray tries a task once more when its worker died under it; a second death is the error of its files.
        """
        ray, slots = self._ray, self.slots
        piece = ray.remote(num_cpus=1, max_retries=1, retry_exceptions=False)(stage)
        running: dict[Any, Task] = {}
        more = True
        try:
            while more or running:
                while more and len(running) < slots:
                    task = next(tasks, None)
                    if task is None:
                        more = False
                    else:
                        running[piece.remote(task)] = task
                if running:
                    ended, _ = ray.wait(list(running), num_returns=1, timeout=_WAIT_S)
                    for reference in ended:
                        yield self._result(ray, reference, running.pop(reference))
        except GeneratorExit:
            if running:
                ray.wait(list(running), num_returns=len(running))
            raise
        except BaseException:
            for reference in running:
                ray.cancel(reference, force=True)
            raise

    def close(self) -> None:
        """Let go of the cluster; one that was started for this runner ends."""
        self._module = None
        self._stack.close()

    @property
    def _ray(self) -> ModuleType:
        if self._module is None:
            self._module = self._stack.enter_context(cluster(self._settings))
            where = self._settings.address or "this machine"
            cpus = int(self._module.cluster_resources().get("CPU", 1))
            self._say(f"Ray {self._module.__version__} on {where}: {cpus} CPUs")
        return self._module

    def _result(self, ray: ModuleType, reference: Any, task: Task) -> list[dict[str, Any]]:
        try:
            result: list[dict[str, Any]] = ray.get(reference)
        except ray.exceptions.RayError as exc:
            self._say(f"Ray lost the task of {', '.join(file['unit'] for file in task['files'])}: {_first(exc)}")
            return [failed(file, _died(exc)) for file in task["files"]]
        return result


def _died(exc: Exception) -> KernelError:
    return KernelError(
        "ray.worker",
        f"the Ray worker of this piece ended before the piece did, twice: {_first(exc)}",
        fix="a machine short of memory kills workers: lower limits.threads or raise limits.memory_bytes",
        kind="SetupError",
    )


def _first(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(exc).__name__
