"""What making a channel asks of this machine: interpreters, distributions, and the folder of the channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from nbplat.environment.channel.distribution import Distribution
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import Package, PackageFile
from nbplat.environment.channel.request import ChannelPackage
from nbplat.environment.ports import Say

__all__ = ["ChannelFolder", "Sources"]


class Sources(Protocol):
    """Where packages are made from."""

    def interpreter(self, path: str) -> Interpreter:
        """Ask an interpreter; empty asks the one that runs this.

        Raises:
            SetupError: ``env.channel.python``.
        """

    def python(self, interpreter: Interpreter) -> tuple[Package, Iterable[PackageFile], str]:
        """The package ``python``: itself, its files, and what changes when they do."""

    def names(self, interpreter: Interpreter) -> Sequence[str]:
        """Normalised names of the installed distributions, those included that cannot be packaged."""

    def installed(self, name: str, interpreter: Interpreter) -> Distribution | None:
        """An installed distribution by its normalised name; None when it is not installed.

        Raises:
            RequestError: ``env.channel.editable``, ``env.channel.record``: it cannot be packaged.
        """

    def wheels(self, folders: Sequence[str], interpreter: Interpreter) -> Sequence[Distribution]:
        """The wheels of folders.

        Raises:
            RequestError: ``env.channel.wheels``, ``env.channel.wheel``.
        """


class ChannelFolder(Protocol):
    """The folder of a channel; everything in it is written under another name and renamed."""

    def held(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """Keep others from changing it meanwhile; `waiting` is told once who is at it."""

    def packages(self) -> Mapping[str, ChannelPackage]:
        """What lies in it, by the fingerprint of what it was made from.

        A package that somebody put there, and one of ours that is damaged, stands under the name of its file.

        Raises:
            DataError: ``env.channel.package``: a file that somebody put there is no package.
        """

    def write(self, package: Package, files: Iterable[PackageFile], fingerprint: str, origin: str) -> ChannelPackage:
        """Write a package; one of other content under the same name and version stays and gets a lower number."""

    def remove(self, package: ChannelPackage) -> None:
        """Take a package out."""

    def index(self, subdirs: Iterable[str], say: Say) -> bool:
        """Write the repodata, if it is not that of what lies there; whether it was written."""

    def check(self, say: Say) -> Sequence[str]:
        """What is wrong with the packages and the repodata, one sentence each; empty: nothing."""

    @property
    def path(self) -> Path: ...
