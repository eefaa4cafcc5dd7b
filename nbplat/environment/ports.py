"""What environments ask of the world: a solver, an installer, a resolver of the pip part, places to ship to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nbplat.environment.lock_record import CondaPackage, PipPackage

__all__ = ["Channel", "Conda", "Phase", "Pip", "Say"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as it is reached now.

    Attributes:
        name: As declared; what locks hold.
        url: ``https://…`` or ``file:///…``; without credentials.
        login: Name of the credential to use (a reference, never a secret); empty: none.
    """

    name: str
    url: str
    login: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """How far one phase is.

    Attributes:
        name: ``solve``, ``fetch``, ``install``, ``pip``, ``layer``, ``check``, ``pack``, ``push`` or ``pull``.
        done: Bytes (`unit` "B") or things finished.
        total: 0 while it is not known.
        what: What is under way, short: a package, a file.
    """

    name: str
    done: int = 0
    total: int = 0
    unit: str = "B"
    what: str = ""


Say = Callable[[Phase], None]


class Conda(Protocol):
    """Solves and installs conda packages; each call works in a child process of its own."""

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
        """The packages that satisfy `specs`, in order of name.

        Args:
            virtual: What the machine offers, ``__glibc`` -> ``2.28``.
            offline: Use nothing but what lies here: local channels and cached repodata.
            prefer: An older lock's packages, kept where they still fit.

        Raises:
            RequestError: ``env.unsatisfiable`` with the short tree; ``env.package`` for a name that no channel has,
                with the nearest ones.
            RemoteError: ``env.channel``: a channel cannot be reached.
        """

    def install(
        self,
        packages: Sequence[CondaPackage],
        channels: Sequence[Channel],
        prefix: Path,
        cache: Path,
        *,
        requested: Sequence[str],
        offline: bool,
        say: Say,
    ) -> None:
        """Make `prefix`, which must not exist, from exactly these packages, through the package cache.

        The text of the prefix in the files is `prefix` itself. Every package's bytes are held against its hash first,
        those of local channels as well.

        Raises:
            DataError: ``env.hash``: a package is not the one of the lock; nothing is installed.
            RemoteError: ``env.channel``.
            SetupError: ``env.space``, ``env.readonly``.
        """


class Pip(Protocol):
    """Resolves and installs the ``pip:`` part."""

    def resolve(
        self,
        requirements: Sequence[str],
        conda: Sequence[CondaPackage],
        python: str,
        platform: str,
        *,
        offline: bool,
        prefer: Sequence[PipPackage] = (),
        say: Say,
    ) -> tuple[PipPackage, ...]:
        """Pin the requirements with hashes, under the versions that conda gives.

        Raises:
            RequestError: ``env.clobber`` when a requirement would put another version over a conda package (named);
                ``env.unsatisfiable``; ``env.package``.
            RemoteError: ``env.index``.
        """

    def install(self, packages: Sequence[PipPackage], python: Path, *, offline: bool, say: Say) -> None:
        """Install exactly these, hashes required, into the environment of an interpreter.

        Raises:
            DataError: ``env.hash``.
            RemoteError: ``env.index``.
        """

    def wheel(self, source: Path, into: Path, *, offline: bool, say: Say) -> Path:
        """Build the wheel of a source folder.

        Raises:
            RequestError: ``env.local``: it does not build; with the end of what the build said.
        """

    def install_wheels(self, wheels: Sequence[Path], python: Path, *, say: Say) -> None:
        """Install built wheels without their dependencies, which the lock holds already."""
