"""Units of a training join as tasks of Ray, and as the read tasks of a dataset."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from nbplat.adapters.ray.cluster import RaySettings
from nbplat.adapters.ray.kept import kept_ray, token_words
from nbplat.remote.failure import KernelError
from nbplat.remote.training.join import Joined
from nbplat.remote.training.ray_shard import ShardUnit
from nbplat.remote.training.ray_unit import Piece, get_ready, joined_or_error, knows_attempts, lost_worker

__all__ = ["RayPool"]

_MOST_WARMED = 64


class RayPool:
    """Implements `nbplat.training.join.ports.Pool`.

    Args:
        attempts: Workers that may die under one unit.
    """

    _warmed = ""
    """The connection whose workers were made ready: the pools of a process share it."""

    def __init__(self, settings: RaySettings, *, attempts: int = 3) -> None:
        self._settings, self._attempts = settings, attempts

    @property
    def slots(self) -> int:
        """See the port: a unit takes one CPU."""
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def start(self) -> str:
        """See the port."""
        ray = self._ray
        where = self._settings.address or "this machine"
        self._warm(ray)
        return f"Ray {ray.__version__} on {where}: {self.slots} CPUs, {token_words()}"

    def join(self, unit: ShardUnit) -> Joined:
        """See the port."""
        ray = self._ray
        task = ray.remote(num_cpus=1, max_retries=self._attempts - 1, retry_exceptions=False)(joined_or_error)
        reference = task.options(name=f"join {unit.name or 'the whole table'}").remote(unit)
        try:
            joined, error = ray.get(reference)
        except ray.exceptions.OutOfMemoryError as exc:
            raise lost_worker([unit], self._attempts, _first(exc), memory=True) from None
        except ray.exceptions.RayError as exc:
            raise lost_worker([unit], self._attempts, _first(exc)) from None
        if error is not None:
            raise KernelError.from_record(error)
        found: Joined = joined
        return found

    def dataset(self, pieces: Sequence[Piece]) -> Any:
        """See the port: a `ray.data.Dataset` of one read task a piece."""
        ray = self._ray
        import ray.data as ray_data

        # Two lines of plan for every pass are not for notebooks.
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        from nbplat.adapters.ray.datasource import joined_source

        self._warm(ray)
        # Ray Data would try a task for ever whose worker dies: each piece counts for itself. Where it cannot, Ray's own
        # bound is asked for, by an option that is going out of use; a piece that is given up is then not named.
        bound: dict[str, Any] = {}
        if not knows_attempts():
            bound = {"ray_remote_args": {"max_retries": self._attempts - 1}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = ray_data.read_datasource(
                joined_source(pieces), override_num_blocks=max(len(pieces), 1), num_cpus=1, **bound
            )
        made.context.execution_options.preserve_order = True
        made.context.enable_progress_bars = False
        return made

    def _warm(self, ray: ModuleType) -> None:
        """Have workers start and import what datasets need, once a cluster, while this process goes on."""
        context = ray.get_runtime_context()
        connection = f"{context.gcs_address} {context.get_job_id()}"
        if connection == RayPool._warmed:
            return
        RayPool._warmed = connection
        task = ray.remote(num_cpus=1, max_retries=0)(get_ready).options(name="import for training joins")
        for _ in range(min(self.slots, _MOST_WARMED)):
            task.remote()

    @property
    def _ray(self) -> ModuleType:
        return kept_ray(self._settings)


def _first(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(exc).__name__
