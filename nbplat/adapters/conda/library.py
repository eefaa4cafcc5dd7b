"""The port `Conda` by py-rattler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nbplat.adapters.conda.child import run_child
from nbplat.adapters.conda.install import install
from nbplat.adapters.conda.network import reach
from nbplat.adapters.conda.records import as_json, from_json
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.ports import Channel, Installed, Say

__all__ = ["RattlerConda"]

_SOLVE = "nbplat.adapters.conda.solve_task:solve"


class RattlerConda:
    """Solves and installs by py-rattler, each call in a child process.

    Args:
        repodata: Folder where repodata of channels is kept between calls.
    """

    def __init__(self, repodata: Path) -> None:
        self._repodata = repodata

    def solve(
        self,
        specs: Sequence[str],
        channels: Sequence[Channel],
        platform: str,
        virtual: Mapping[str, str],
        *,
        offline: bool,
        prefer: Sequence[CondaPackage] = (),
        say: Say,
    ) -> tuple[CondaPackage, ...]:
        """See `ports.Conda.solve`."""
        request = {
            **reach(channels, str(self._repodata), offline=offline),
            "specs": list(specs),
            "platform": platform,
            "virtual": dict(virtual),
            "prefer": [as_json(one) for one in prefer],
        }
        return tuple(from_json(one) for one in run_child(_SOLVE, request, say=say))

    def install(
        self,
        packages: Sequence[CondaPackage],
        channels: Sequence[Channel],
        prefix: Path,
        store: Path,
        *,
        platform: str,
        requested: Sequence[str],
        offline: bool,
        say: Say,
    ) -> Installed:
        """See `ports.Conda.install`."""
        return install(
            packages, channels, prefix, store, platform=platform, requested=requested, offline=offline, say=say
        )
