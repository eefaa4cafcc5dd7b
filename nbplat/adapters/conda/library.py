"""The port `Conda` by py-rattler."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nbplat.adapters.conda.child import run_child
from nbplat.adapters.conda.credentials import secrets_of
from nbplat.adapters.conda.install import install
from nbplat.adapters.conda.network import reach
from nbplat.adapters.conda.records import as_json, from_json
from nbplat.environment.channels import Login, login_of
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.ports import Channel, Installed, Say
from nbplat.errors import SetupError

__all__ = ["RattlerConda", "check_library"]

_VIRTUAL = "nbplat.adapters.conda.virtual_task:virtual"
_SOLVE = "nbplat.adapters.conda.solve_task:solve"


def check_library() -> str:
    """py-rattler's version, when it works here: the library is asked in a child process, as always.

    Raises:
        SetupError: it is not installed or does not answer.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("py-rattler")
    except PackageNotFoundError:
        raise SetupError("env.rattler", "py-rattler is not installed", fix="pip install nbplat again") from None
    _virtual(())
    return f"ok, {found}"


class RattlerConda:
    """Solves and installs by py-rattler, each call in a child process.

    Args:
        repodata: Folder where repodata of channels is kept between calls; made when it is missing.
        logins: Of the channels file, by host.
    """

    def __init__(self, repodata: Path, logins: Mapping[str, Login] = MappingProxyType({})) -> None:
        self._repodata = repodata
        self._logins = logins

    def virtual(self) -> Mapping[str, str]:
        """See `ports.Conda.virtual`."""
        return _virtual(tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("CONDA_OVERRIDE_"))))

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
        found = run_child(_SOLVE, request, say=say, secrets=self.secrets(channels))
        return tuple(from_json(one) for one in found)

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
            packages,
            channels,
            prefix,
            store,
            platform=platform,
            requested=requested,
            offline=offline,
            say=say,
            secrets=self.secrets(channels),
        )

    def secrets(self, channels: Sequence[Channel]) -> dict[str, Any]:
        """Credentials for `run_child`, looked up now; empty when the channels need none.

        Raises:
            SetupError: ``env.login``.
        """
        addresses = [url for one in channels for url in (one.url, *one.mirrors)]
        return secrets_of([login_of(url, self._logins) for url in addresses], self._logins, os.environ)


@cache
def _virtual(overrides: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """A machine stays what it is, unless somebody overrides what is found."""
    return MappingProxyType(run_child(_VIRTUAL, {}, say=lambda phase: None))
