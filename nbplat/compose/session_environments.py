"""Lets a session's driver and workers run in a declared environment: named in its conf, checked before it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.compose.worker_environments import WorkerEnvironments
from nbplat.config import Config
from nbplat.errors import NotFound, RequestError, SetupError
from nbplat.session.masters import Master, master_of
from nbplat.terms import EnvironmentRef

if TYPE_CHECKING:
    from nbplat.environment.check_against import Checker

__all__ = ["SETTING", "SessionEnvironments"]

SETTING = "spark.nbplat.environment"
"""In a session's conf: the name of an environment, or the start of its key."""

_KEY = f"{SETTING}.key"
_PYSPARK = f"{SETTING}.pyspark"
# Read by a Spark Connect client's driver, which sends them.
_ARTIFACTS = f"{SETTING}.artifacts"


@dataclass(frozen=True, slots=True)
class SessionEnvironments:
    """Finds, checks and pins the environment of a session.

    Attributes:
        find: A built environment by name, or by its whole key; raises NotFound.
        workers: Brings it to a cluster elsewhere.
    """

    config: Config
    find: Callable[[str], EnvironmentRef]
    checker: Callable[[], Checker]
    workers: WorkerEnvironments

    def settled(self, conf: Mapping[str, str], master: Master | None = None) -> dict[str, str]:
        """A session's conf with the very build that its environment's name means now, and what its workers need.

        Args:
            master: Where it runs; None: ``spark.master``, with the driver here.

        Raises:
            NotFound: ``env.unknown``.
            SetupError: ``env.check``: a driver cannot run in it; as `WorkerEnvironments.settings`.
            RequestError: ``env.target``: environments cannot be sent there.
        """
        from nbplat.adapters.spark.session import joined_conf

        made = {key: value for key, value in conf.items() if key not in (_KEY, _PYSPARK, _ARTIFACTS)}
        name = made.get(SETTING, "")
        if not name:
            return made
        master = master or master_of(self.config.spark_master)
        if master.kind == "livy":
            raise RequestError(
                "env.target",
                f"sessions run on another server ({master.url}), which knows no environment {name}",
                fix=f"send its archive in the session's conf: nbplat env conf {name} --for livy --at URI",
            )
        ref, checker = self.find(name), self.checker()
        checker.as_driver(ref).refuse()
        made |= {SETTING: ref.name, _KEY: ref.key}
        if not checker.side(ref).version_of("pyspark") and (home := _our_pyspark()):
            made[_PYSPARK] = home
        if master.local:
            return made
        settings = self.workers.settings("spark", ref.record(), _target(master))
        if settings.artifacts:
            made[_ARTIFACTS] = ",".join(settings.artifacts)
        return joined_conf(made, settings.conf)

    def interpreter(self, conf: Mapping[str, str]) -> str:
        """The Python of a session's driver; this one where the conf names no environment.

        Raises:
            SetupError: ``env.gone``: the build that the session was asked for with is not here any more.
        """
        key = conf.get(_KEY, "")
        if not key:
            return sys.executable
        try:
            return self.find(key).interpreter
        except NotFound:
            name = conf.get(SETTING, "")
            raise SetupError(
                "env.gone",
                f"the build {key[:12]} of the environment {name} is not on this machine any more",
                fix=f"build it again from the same lock: nbplat env build {name}",
            ) from None


def _target(master: Master) -> str:
    if master.cluster:
        return f"{master.kind}-cluster"
    return {"yarn": "yarn-client", "connect": "connect"}.get(master.kind, "standalone")


def _our_pyspark() -> str:
    """Folder of this interpreter's pyspark, which brings Spark and its Python library; empty when there is none."""
    import importlib.util

    spec = importlib.util.find_spec("pyspark")
    return "" if spec is None or spec.origin is None else str(Path(spec.origin).parent)
