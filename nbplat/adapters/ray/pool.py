"""Units of a training join as tasks of Ray, and as the read tasks of a dataset."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

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
        runtime_env: Has the workers of this pool run in an environment; empty leaves them as the cluster's are.
        environment: That environment, in words.
    """

    _warmed: ClassVar[set[str]] = set()
    """Connections and environments whose workers were made ready: the pools of a process share them."""

    def __init__(
        self,
        settings: RaySettings,
        *,
        attempts: int = 3,
        runtime_env: Mapping[str, Any] | None = None,
        environment: str = "",
    ) -> None:
        self._settings, self._attempts = settings, attempts
        self._options = {"runtime_env": dict(runtime_env)} if runtime_env else {}
        self._environment = environment

    @property
    def slots(self) -> int:
        """See the port: a unit takes one CPU."""
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    @property
    def memory_bytes(self) -> int:
        """See the port: what Ray gives the workers of the node with the least of it for each CPU."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        shares = [node["memory"] / max(node["CPU"], 1) for node in nodes if node.get("CPU") and node.get("memory")]
        return int(min(shares, default=0))

    def start(self) -> str:
        """See the port."""
        ray = self._ray
        where = self._settings.address or "this machine"
        self._warm(ray)
        inside = f", workers in the environment {self._environment}" if self._environment else ""
        return f"Ray {ray.__version__} on {where}: {self.slots} CPUs, {token_words()}{inside}"

    def join(self, unit: ShardUnit) -> Joined:
        """See the port."""
        ray = self._ray
        task = ray.remote(num_cpus=1, max_retries=self._attempts - 1, retry_exceptions=False)(joined_or_error)
        reference = task.options(name=f"join {unit.name or 'the whole table'}", **self._options).remote(unit)
        try:
            joined, error = ray.get(reference)
        except ray.exceptions.RuntimeEnvSetupError as exc:
            raise KernelError(
                "ray.environment",
                f"Ray cannot set up {self._environment or 'the environment'} for its workers: {_last(exc)}",
                fix="see that every node reads the archive: nbplat env push NAME, and env.archives",
                kind="SetupError",
            ) from None
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
        arguments: dict[str, Any] = dict(self._options)
        if not knows_attempts():
            arguments["max_retries"] = self._attempts - 1
        bound: dict[str, Any] = {"ray_remote_args": arguments} if arguments else {}
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
        connection = f"{context.gcs_address} {context.get_job_id()} {self._options}"
        if connection in RayPool._warmed:
            return
        RayPool._warmed.add(connection)
        task = ray.remote(num_cpus=1, max_retries=0)(get_ready)
        task = task.options(name="import for training joins", **self._options)
        for _ in range(min(self.slots, _MOST_WARMED)):
            task.remote()

    @property
    def _ray(self) -> ModuleType:
        return kept_ray(self._settings)


def _first(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(exc).__name__


def _last(exc: Exception) -> str:
    """The last line of a message that holds a node's traceback: what went wrong there."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(exc).__name__
