"""The port `ChannelFolder`: a channel on a disk, changed by one process at a time, whole at every moment."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.channel.check import check_channel
from nbplat.adapters.conda.channel.conda_file import write_package
from nbplat.adapters.conda.channel.index import index_channel, package_paths, repodata_of
from nbplat.adapters.conda.channel.read_package import read_index
from nbplat.environment.channel.package import Package, PackageFile
from nbplat.environment.channel.request import ChannelPackage
from nbplat.environment.key_lock import hold
from nbplat.environment.ports import Say
from nbplat.environment.store_faults import free_bytes
from nbplat.errors import SetupError

__all__ = ["DiskChannel"]

_OURS = ".nbplat"
_STATE = "channel.json"


class DiskChannel:
    """One channel folder.

    Beside the platforms it has the folder ``.nbplat``: what each package was made from (``channel.json``; without it
    packages are only made again), the lock, and ``tmp`` for what is being written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self._ours = self._folder / _OURS
        self._scratch = self._ours / "tmp"

    @property
    def path(self) -> Path:
        return self._folder

    @contextmanager
    def held(self, waiting: Callable[[str], None]) -> Iterator[None]:
        with _faults(self._folder), hold(self._ours / "lock", waiting=waiting):
            # What a killed run left: nobody else writes here while we hold the lock.
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(parents=True)
            try:
                yield
            finally:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def packages(self) -> Mapping[str, ChannelPackage]:
        sizes = {f"{one.parent.name}/{one.name}": one.stat().st_size for one in package_paths(self._folder)}
        found = {}
        for key, one in self._state().items():
            place = _place(one)
            size = sizes.pop(place, None)
            if size == one.size:
                found[key] = one
            elif size is not None:
                found[place] = dataclasses.replace(one, size=size, damaged=True)
        return found | {place: _foreign(self._folder / place) for place in sorted(sizes)}

    def write(self, package: Package, files: Iterable[PackageFile], fingerprint: str, origin: str) -> ChannelPackage:
        with _faults(self._folder):
            written = write_package(
                package,
                files,
                self._folder,
                self._scratch,
                number=lambda digest: self._number(package, digest),
                origin=origin,
            )
            self._save({**self._state(), fingerprint: written})
        return written

    def remove(self, package: ChannelPackage) -> None:
        with _faults(self._folder):
            (self._folder / _place(package)).unlink(missing_ok=True)

    def index(self, subdirs: Iterable[str], say: Say) -> bool:
        here: dict[str, dict[str, int]] = {subdir: {} for subdir in {*subdirs, "noarch"}}
        for path in package_paths(self._folder):
            here.setdefault(path.parent.name, {})[path.name] = path.stat().st_size
        if all(self._indexed(subdir, files) for subdir, files in here.items()):
            return False
        with _faults(self._folder):
            index_channel(self._folder, self._scratch, here, say=say)
        return True

    def check(self, say: Say) -> Sequence[str]:
        return check_channel(self._folder, say)

    def _indexed(self, subdir: str, files: Mapping[str, int]) -> bool:
        folder = self._folder / subdir
        told = {name: record.get("size") for name, record in repodata_of(self._folder, subdir).items()}
        return told == files and all((folder / name).is_file() for name in ("repodata.json", "repodata.json.zst"))

    def _number(self, package: Package, digest: str) -> int:
        """The build number of a content: that of the same one, else one more than the highest."""
        tail = re.escape(f"_{package.tail}") if package.tail else ""
        build = re.compile(
            rf"{re.escape(f'{package.name}-{package.version}-{package.label}')}h([0-9a-f]{{8}})_(\d+){tail}\.conda\Z"
        )
        found = [build.match(one.name) for one in (self._folder / package.subdir).glob("*.conda")]
        numbers = {one[1]: int(one[2]) for one in found if one}
        return numbers.get(digest, max(numbers.values(), default=-1) + 1)

    def _state(self) -> dict[str, ChannelPackage]:
        try:
            told = json.loads((self._ours / _STATE).read_text(encoding="utf-8"))
            return {key: _package(value) for key, value in told["packages"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _save(self, state: Mapping[str, ChannelPackage]) -> None:
        there = {key: one for key, one in state.items() if (self._folder / _place(one)).is_file()}
        record = {"packages": {key: dataclasses.asdict(one) for key, one in sorted(there.items())}}
        half = self._scratch / _STATE
        half.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        half.replace(self._ours / _STATE)


def _place(package: ChannelPackage) -> str:
    return f"{package.subdir}/{package.file_name}"


def _package(record: dict[str, Any]) -> ChannelPackage:
    return ChannelPackage(
        **{**record, "depends": tuple(record["depends"]), "libraries": tuple(record["libraries"])},
    )


def _foreign(path: Path) -> ChannelPackage:
    """A package that somebody put there."""
    index = read_index(path)
    return ChannelPackage(
        name=str(index["name"]),
        version=str(index["version"]),
        build=str(index["build"]),
        build_number=int(index.get("build_number", 0)),
        subdir=path.parent.name,
        file_name=path.name,
        sha256="",
        size=path.stat().st_size,
        installed=0,
        depends=tuple(index.get("depends", ())),
        origin="put there",
    )


@contextmanager
def _faults(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into words; what goes wrong with other files is not about the channel."""
    try:
        yield
    except OSError as exc:
        if exc.filename and not _about(Path(os.fsdecode(exc.filename)), folder):
            raise
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                "env.channel.space",
                f"there is no space for the channel: {free_bytes(folder) / 1e6:.0f} MB are free on its disk",
                fix="free space or take another folder, then run the same command again: finished packages stay",
                where=str(folder),
            ) from None
        if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise SetupError(
                "env.channel.folder",
                f"the channel cannot be written: {os.strerror(exc.errno).lower()}",
                fix="give a folder of your own: nbplat env channel make FOLDER",
                where=str(folder),
            ) from None
        raise


def _about(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) or folder.is_relative_to(path)
