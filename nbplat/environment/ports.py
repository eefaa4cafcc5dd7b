"""What environments ask of the world: a solver, an installer, a resolver of the pip part, places to ship to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol

from nbplat.environment.lock_record import CondaPackage, PipPackage

__all__ = ["Channel", "Conda", "Depot", "Installed", "LocalDistribution", "Phase", "Pip", "Say"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as it is reached now.

    Attributes:
        name: As declared; what locks hold.
        url: ``https://…`` or ``file:///…``; without credentials.
        login: Name of the credential to use (a reference, never a secret); empty: none.
        mirrors: Addresses tried before `url`, in order; same packages, same hashes.
    """

    name: str
    url: str
    login: str = ""
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """How far one phase is.

    Attributes:
        name: ``solve``, ``wait``, ``fetch``, ``verify``, ``install``, ``pip``, ``layer``, ``check``, ``pack``,
            ``push`` or ``pull``.
        done: Bytes (`unit` "B") or things finished.
        total: 0 while it is not known.
        what: What is under way, short: a package, a file.
    """

    name: str
    done: int = 0
    total: int = 0
    unit: str = "B"
    what: str = ""


@dataclass(frozen=True, slots=True)
class LocalDistribution:
    """What a local package says of itself.

    Attributes:
        name: Normalised.
        requires: Its requirements (PEP 508), those of its extras with their markers.
        python: Versions of Python that it takes, ``>=3.10``; empty: any.
        extras: Those that are installed, sorted.
        known_extras: Those that it has.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    python: str = ""
    extras: tuple[str, ...] = ()
    known_extras: tuple[str, ...] = ()


Say = Callable[[Phase], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """What an install did.

    Attributes:
        fetched_bytes: Of packages that were not in the store yet.
        fetched: Their names, sorted.
        repaired: Cached packages that somebody had changed, with the changed files; they were fetched again.
        linked: False when the files are copies: packages and prefix are on different file systems, or on one without
            hard links.
        scripts: Packages with a script that conda would run after linking; it was not run.
    """

    fetched_bytes: int = 0
    fetched: tuple[str, ...] = ()
    repaired: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    linked: bool = True
    scripts: tuple[str, ...] = ()


class Conda(Protocol):
    """Solves and installs conda packages; each call works in a child process of its own."""

    def virtual(self) -> Mapping[str, str]:
        """What this machine offers, as conda names it: ``__glibc`` -> ``2.36``, ``__archspec`` -> ``x86_64_v3``."""

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
        store: Path,
        *,
        platform: str,
        requested: Sequence[str],
        offline: bool,
        say: Say,
    ) -> Installed:
        """Make `prefix`, which must not exist, from exactly these packages, through the packages of a store.

        The text of the prefix in the files is `prefix` itself. Every package's bytes are held against its hash first,
        those of local channels as well, and what lies in the store is read again: a package that was changed there is
        fetched again.

        Args:
            store: Root of the store.
            requested: Match specs of the declaration, for conda's own tools.

        Raises:
            DataError: ``env.hash``: a package is not the one of the lock; ``env.lock``: the lock contradicts itself or
                its packages. Nothing is installed.
            RemoteError: ``env.channel``.
            SetupError: ``env.space``, ``env.readonly``, ``env.prefix``: the path is too long for a package.
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
        virtual: Mapping[str, str] = MappingProxyType({}),
        local: Sequence[LocalDistribution] = (),
        prefer: Sequence[PipPackage] = (),
        say: Say,
    ) -> tuple[PipPackage, ...]:
        """Pin the requirements with hashes, under the versions that conda gives.

        Args:
            python: Full version.
            virtual: What the machines offer: wheels are chosen for their glibc or macOS.
            local: Local packages: what they require is pinned too, they themselves are not in the result.
            prefer: An older lock's packages, kept where they still fit.

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


class Depot(Protocol):
    """Places that archives are shipped to, by URI: a folder, a bucket, an HTTP server (read only).

    Raises:
        RequestError: ``env.location``: a scheme that cannot be opened, or that is read only and was to be written.
        SetupError: ``env.location``: the package for a scheme is not installed; ``storage.denied``, ``env.readonly``,
            ``disk.full``.
        RemoteError: ``storage.failed``.
    """

    def mark(self, uri: str) -> str:
        """What changes when the file at `uri` changes (size, time, the store's own tag); empty when there is none."""

    def written_s(self, uri: str) -> float:
        """When a file was last written, by the store's clock, in seconds since the epoch; 0 where it does not say."""

    def size(self, uri: str) -> int | None:
        """Bytes of a file; None when there is none."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            NotFound: ``env.shipped``: there is none.
        """

    def write(self, uri: str, content: bytes) -> None:
        """Write a small file, whole or not at all; one that is there is replaced."""

    def upload(self, source: Path, uri: str, say: Callable[[int], None]) -> None:
        """Copy a file to where nobody sees it before it is whole, in parts where the store knows parts.

        Args:
            say: Told the bytes that are sent so far.
        """

    def names(self, uri: str) -> tuple[str, ...]:
        """Names of the files in a folder, sorted; none when there is no such folder or it cannot be listed."""
