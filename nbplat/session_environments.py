"""Lets a session's driver and workers run in a declared environment: named in its conf, checked before it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.config import Config
from nbplat.errors import NotFound, SetupError
from nbplat.terms import EnvironmentRef
from nbplat.worker_environments import WorkerEnvironments

if TYPE_CHECKING:
    from nbplat.environment.check_against import Checker

__all__ = ["SETTING", "SessionEnvironments"]

SETTING = "spark.nbplat.environment"
"""In a session's conf: the name of an environment, or the start of its key."""

_KEY = f"{SETTING}.key"
_PYSPARK = f"{SETTING}.pyspark"


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

    def settled(self, conf: Mapping[str, str]) -> dict[str, str]:
        """A session's conf with the very build that its environment's name means now, and what its workers need.

        Raises:
            NotFound: ``env.unknown``.
            SetupError: ``env.check``: a driver cannot run in it; as `WorkerEnvironments.settings`.
        """
        from nbplat.adapters.spark.session import is_local, joined_conf

        made = {key: value for key, value in conf.items() if key not in (_KEY, _PYSPARK)}
        name = made.get(SETTING, "")
        if not name:
            return made
        ref, checker = self.find(name), self.checker()
        checker.as_driver(ref).refuse()
        made |= {SETTING: ref.name, _KEY: ref.key}
        if not checker.side(ref).version_of("pyspark") and (home := _our_pyspark()):
            made[_PYSPARK] = home
        if is_local(self.config.spark_master):
            return made
        return joined_conf(made, self.workers.settings("spark", ref.record()).conf)

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


def _our_pyspark() -> str:
    """Folder of this interpreter's pyspark, which brings Spark and its Python library; empty when there is none."""
    import importlib.util

    spec = importlib.util.find_spec("pyspark")
    return "" if spec is None or spec.origin is None else str(Path(spec.origin).parent)
