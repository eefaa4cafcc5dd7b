"""Where environments lie: one folder tree whose every part is complete as soon as it has its name."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nbplat.environment.built import Built, read_built
from nbplat.environment.key_lock import hold, try_hold
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.store_faults import store_faults

__all__ = ["Store"]

# 32 hex digits name an environment well enough, and every character counts: the kernel reads 127 of a `#!` line,
# and packages leave room for a prefix of limited length.
_KEY_DIGITS = 32
_TRASH = "trash-"


class Store:
    """The folders of one store; nothing is made before it is needed.

    Args:
        root: ``<home>/env``. Made absolute: prefixes are written into files.

    Attributes:
        pkgs: ``<sha256>/<name-version-build>/`` of every conda package, extracted and verified.
        envs: ``<first 32 digits of the key>/``: prefixes, hard-linked to `pkgs`. One without
            ``.nbplat/built.json`` is not finished and shown by nobody.
        members: Compressed members of archives, by package.
        packs: Archives by their hash.
        wheels: ``<source hash>/<wheel>`` of packages of the user's own.
        run: Environments that came as archives, unpacked.
        locks: Files that are locked, empty but for who holds them.
        tmp: What is being made; each folder belongs to a living process or is swept.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links: the root may be one on purpose
        self.pkgs = self.root / "pkgs"
        self.envs = self.root / "envs"
        self.members = self.root / "members"
        self.packs = self.root / "packs"
        self.wheels = self.root / "wheels"
        self.run = self.root / "run"
        self.locks = self.root / "locks"
        self.tmp = self.root / "tmp"
        self.index = self.root / "index.sqlite"

    def prefix(self, key: str) -> Path:
        """Folder of the environment with this key, there or not."""
        return self.envs / key[:_KEY_DIGITS]

    def package(self, package: CondaPackage) -> Path:
        """Folder of an extracted conda package, there or not."""
        return self.pkgs / package.sha256 / f"{package.name}-{package.version}-{package.build}"

    def lock_file(self, key: str) -> Path:
        """File that whoever builds or removes this environment holds locked."""
        return self.locks / f"env-{key[:_KEY_DIGITS]}"

    def built(self, key: str) -> Built | None:
        """What was built under this key; None when it is not there or not finished."""
        prefix = self.prefix(key)
        found = read_built(prefix)
        if found is None or found.key != key:
            return None
        # Somebody who clears a folder by hand may leave our record behind: that is no environment.
        return found if not found.lock.python or os.path.lexists(prefix / "bin" / "python") else None

    def every(self) -> list[Built]:
        """Every finished environment, in order of key."""
        if not self.envs.is_dir():
            return []
        found = (read_built(folder) for folder in sorted(self.envs.iterdir()))
        return [one for one in found if one is not None]

    @contextmanager
    def in_use(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep sweepers away while something is built or looked up; several may at once.

        Raises:
            SetupError: ``env.readonly``, ``env.space``.
        """
        with store_faults(self.root), hold(self.locks / "store", shared=True, waiting=waiting):
            yield

    @contextmanager
    def alone(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Wait until nobody builds, and keep others from beginning; what sweeping takes.

        Raises:
            SetupError: ``env.readonly``, ``env.space``.
        """
        with store_faults(self.root), hold(self.locks / "store", waiting=waiting):
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of one's own inside the store, so that what is made in it can be renamed to its place.

        It is gone afterwards; after a kill the next `sweep` takes it.

        Raises:
            SetupError: ``env.readonly``, ``env.space``.
        """
        with store_faults(self.root):
            self.tmp.mkdir(parents=True, exist_ok=True)
            name = secrets.token_hex(8)
            lock = self.tmp / f"{name}.lock"
            with hold(lock):
                folder = self.tmp / name
                try:
                    folder.mkdir()
                    yield folder
                finally:
                    remove_tree(folder)
                    lock.unlink(missing_ok=True)

    def discard(self, path: Path) -> None:
        """Take a file or folder out of sight in one move, then remove it at leisure."""
        if not os.path.lexists(path):
            return
        self.tmp.mkdir(parents=True, exist_ok=True)
        away = self.tmp / f"{_TRASH}{secrets.token_hex(8)}"
        path.rename(away)
        remove_tree(away)

    def sweep(self) -> int:
        """Remove what killed processes left in `tmp`; the folders of living ones stay. Returns how many went.

        What is being thrown away may be taken by two at once: that is fine.
        """
        if not self.tmp.is_dir():
            return 0
        swept = 0
        for path in sorted(self.tmp.iterdir()):
            if path.name.startswith(_TRASH):
                remove_tree(path)
                swept += 1
            elif path.suffix == ".lock":
                with try_hold(path) as mine:
                    if mine:
                        remove_tree(path.with_suffix(""))
                        path.unlink(missing_ok=True)
                        swept += 1
        return swept


def remove_tree(path: Path) -> None:
    """Remove a file or a folder, with folders in it that forbid it; nothing there is fine."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)  # noqa: PTH118 - a hot loop over thousands of folders
            if not os.path.islink(inner) and not os.access(inner, os.W_OK | os.X_OK):  # noqa: PTH114
                os.chmod(inner, 0o700)  # noqa: PTH101
    shutil.rmtree(path, ignore_errors=True)
