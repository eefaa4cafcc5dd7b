"""Runs tasks as Ray tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from nbplat.adapters.ray.cluster import RaySettings, cluster
from nbplat.job.farm import named
from nbplat.remote.failure import KernelError, attempt
from nbplat.remote.failure import failed as failed_unit

__all__ = ["RayFarm"]

# How long one wait for a result lasts; between two the caller's thread can be interrupted.
_WAIT_S = 1.0


class RayFarm:
    """Implements `nbplat.job.farm.Farm`.

    The cluster is reached at the first question and let go by `close`.
    """

    name = "ray"

    def __init__(self, settings: RaySettings, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._stack = ExitStack()
        self._module: ModuleType | None = None

    @property
    def slots(self) -> int:
        """CPUs of the cluster: a task takes one."""
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def run(
        self,
        work: Callable[[Any], Any],
        tasks: Iterator[Any],
        *,
        failed: Callable[[Any, Exception], Any] | None = None,
    ) -> Iterator[Any]:
        """See the port.

        Ray tries a task once more when its worker died under it; a second death is the task's error.
        """
        ray, slots, failed = self._ray, self.slots, failed or failed_unit
        piece = ray.remote(num_cpus=1, max_retries=1, retry_exceptions=False)(attempt)
        running: dict[Any, Any] = {}
        more = True
        try:
            while more or running:
                while more and len(running) < slots:
                    task = next(tasks, None)
                    if task is None:
                        more = False
                    else:
                        running[piece.remote(work, failed, task)] = task
                if running:
                    ended, _ = ray.wait(list(running), num_returns=1, timeout=_WAIT_S)
                    for reference in ended:
                        yield self._result(ray, reference, running.pop(reference), failed)
        except GeneratorExit:
            if running:
                ray.wait(list(running), num_returns=len(running))
            raise
        except BaseException:
            for reference in running:
                ray.cancel(reference, force=True)
            raise

    def close(self) -> None:
        """Let go of the cluster; one that was started for this farm ends."""
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

    def _result(self, ray: ModuleType, reference: Any, task: Any, failed: Callable[[Any, Exception], Any]) -> Any:
        try:
            return ray.get(reference)
        except ray.exceptions.RayError as exc:
            self._say(f"Ray lost the task of {named(task)}: {_first(exc)}")
            return failed(task, _died(exc))


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
