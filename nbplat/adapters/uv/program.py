"""The port `Pip` by uv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nbplat.adapters.uv import install as installing
from nbplat.adapters.uv.resolve import Wanted, resolve
from nbplat.environment.distributions import distributions_of
from nbplat.environment.lock_record import CondaPackage, PipPackage
from nbplat.environment.ports import LocalDistribution, Say

__all__ = ["UvPip"]


class UvPip:
    """Resolves, builds and installs by uv.

    Indexes, folders of wheels and logins are uv's own: ``UV_INDEX_URL``, ``UV_EXTRA_INDEX_URL``, ``UV_FIND_LINKS``, the
    user's ``uv.toml``, netrc, a keyring. Nothing of them is written into a lock.
    """

    def resolve(
        self,
        requirements: Sequence[str],
        conda: Sequence[CondaPackage],
        python: str,
        platform: str,
        *,
        offline: bool,
        virtual: Mapping[str, str] = MappingProxyType({}),
        local: Sequence[LocalDistribution] = (),
        prefer: Sequence[PipPackage] = (),
        say: Say,
    ) -> tuple[PipPackage, ...]:
        """See `ports.Pip.resolve`."""
        wanted = Wanted(
            requirements=tuple(requirements),
            conda=distributions_of(conda),
            local=tuple(local),
            python=python,
            platform=platform,
            virtual=virtual,
        )
        return resolve(wanted, prefer, offline=offline, say=say)

    def install(self, packages: Sequence[PipPackage], python: Path, *, offline: bool, say: Say) -> None:
        """See `ports.Pip.install`."""
        installing.install(packages, python, offline=offline, say=say)

    def wheel(self, source: Path, into: Path, *, offline: bool, say: Say) -> Path:
        """See `ports.Pip.wheel`."""
        return installing.build_wheel(source, into, offline=offline, say=say)

    def install_wheels(self, wheels: Sequence[Path], python: Path, *, say: Say) -> None:
        """See `ports.Pip.install_wheels`."""
        installing.install_wheels(wheels, python, say=say)
