"""Gives the Python workers of a cluster elsewhere the environment of a body: checked when planned, shipped when run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.config import Config
from nbplat.errors import SetupError
from nbplat.terms import EnvironmentRef

if TYPE_CHECKING:
    from nbplat.backfill.ports import Runner
    from nbplat.environment.check_against import Checker
    from nbplat.environment.ports import Depot
    from nbplat.environment.settings import Settings
    from nbplat.environment.store import Store
    from nbplat.remote.task import Task

__all__ = ["InWorkersPython", "WorkerEnvironments", "environment_of"]

# What an engine unpacks by itself, the best first.
_FORMATS = {"spark": (".tar.gz", ".zip"), "ray": (".zip",)}


@dataclass(frozen=True, slots=True)
class WorkerEnvironments:
    """Environments for workers on other machines; on this one bodies run in the store's prefix beside any worker.

    Attributes:
        checker: Applies the rules.
        depot: Where archives were pushed.
    """

    config: Config
    store: Callable[[], Store]
    depot: Callable[[], Depot]
    checker: Callable[[], Checker]

    def check(self, engine: str, environment: Mapping[str, Any], *, part: str = "", here: bool = False) -> None:
        """Return when the engine's workers can run in it, with this process as their driver.

        Args:
            environment: Record of an `EnvironmentRef`.
            part: Of Ray that they use besides its tasks: ``data`` or ``train``.
            here: See `settings`.

        Raises:
            SetupError: ``env.check``; ``env.archives``: no place is set from which Ray's nodes would take it.
            RequestError: ``env.unshipped``: there is no archive of it.
        """
        ref = EnvironmentRef(**environment)
        self.checker().as_workers(ref, engine, part).refuse()
        self.settings(engine, environment, here=here)

    def settings(
        self, engine: str, environment: Mapping[str, Any], target: str = "", *, here: bool = False
    ) -> Settings:
        """What makes an engine's workers run in it.

        Args:
            target: See `nbplat.environment.targets.TARGETS`; empty: what the engine runs on, with its driver here.
            here: Ray's workers are on this machine, and run in the store's prefix.

        Raises:
            SetupError, RequestError: as `check`.
        """
        from nbplat.environment.conf import conf
        from nbplat.environment.ship import find_archive

        ref, depot, place = EnvironmentRef(**environment), self.depot(), self.config.env_archives
        if here:
            return conf(ref, engine, self.store(), depot, way="prefix")
        if engine == "ray" and not place:
            raise SetupError(
                "env.archives",
                f"Ray's nodes take the environment {ref.name} from a place that they all read, and none is set",
                fix=f"set env.archives (NBPLAT_ENV_ARCHIVES), then nbplat env push {ref.name} there, with --format zip",
            )
        found = find_archive(place, ref.key, depot) if place else ()
        fit = [uri for ending in _FORMATS[engine] for uri in found if uri.endswith(ending)]
        if place and not fit:
            wanted = " --format zip" if engine == "ray" else ""
            raise SetupError(
                "env.unshipped",
                f"there is no archive of {ref.name} ({ref.key[:12]}) at {place} that {engine.capitalize()} unpacks",
                fix=f"nbplat env push {ref.name} {place}{wanted}",
            )
        yarn = self.config.spark_master.startswith("yarn")
        target = target or ("ray" if engine == "ray" else "yarn-client" if yarn else "standalone")
        return conf(ref, target, self.store(), depot, way="archive", at=fit[0] if fit else "")

    def beside_archives(self, file: Path) -> str:
        """Put a file where clusters read archives from, once; returns its URI. Its name tells its content."""
        from nbplat.environment.locations import depot_uri, join

        depot = self.depot()
        uri = join(depot_uri(self.config.env_archives), file.name)
        content = file.read_bytes()
        if depot.size(uri) != len(content):
            depot.write(uri, content)
        return uri


class InWorkersPython:
    """A runner whose workers run in the environment of the body themselves.

    Paths of this machine mean nothing to them: the body's child is another of their own Python.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def name(self) -> str:
        """See `nbplat.backfill.ports.Runner`."""
        return self._runner.name

    @property
    def slots(self) -> int:
        """See the port."""
        return self._runner.slots

    @property
    def whole(self) -> bool:
        """See the port."""
        return self._runner.whole

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """See the port."""
        return self._runner.run(_own(task) for task in tasks)


def environment_of(python: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Record of the built environment that a Python body runs in; None for any other body."""
    return (python or {}).get("environment")


def _own(task: Task) -> Task:
    return {**task, "body": {**task["body"], "interpreter": "", "folder": ""}}
