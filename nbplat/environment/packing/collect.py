"""What goes into an archive: one layer a package, before anything is read or compressed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nbplat.environment.links import checked_link, without_links
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.conda_files import CondaRecord, conda_files, read_records
from nbplat.environment.packing.files import Layer, PackedFile, layer_key
from nbplat.environment.packing.wheel_files import Installed, installed_wheels, wheel_files
from nbplat.environment.slim import Slimming
from nbplat.environment.store import Store
from nbplat.errors import DataError, RequestError

__all__ = ["Collected", "Content", "collect"]


@dataclass(frozen=True, slots=True)
class Content:
    """The files of one package of the environment.

    Attributes:
        kind: ``conda``, ``pip`` or ``local``.
        identity: Names where the bytes come from: the package's hash.
        size: Bytes before compression, as the package says; 0 where it does not.
        left_out: Paths left out, by the rule that did.
    """

    name: str
    version: str
    kind: str
    identity: str
    files: tuple[PackedFile, ...]
    size: int = 0
    left_out: tuple[tuple[str, str], ...] = ()

    def layer(self) -> Layer:
        """The layer of it."""
        key = layer_key(f"{self.kind} {self.name} {self.identity}", self.files)
        return Layer(f"{self.name} {self.version}", self.kind, self.name, self.files, key, self.size)


@dataclass(frozen=True, slots=True)
class Collected:
    """All packages, in order of kind and name.

    Attributes:
        folders: Every folder of the archive, with a slash at its end, parents first.
        rules: Slimming rules that counted.
    """

    contents: tuple[Content, ...]
    folders: tuple[str, ...]
    rules: tuple[str, ...]


def collect(source: PackSource, options: PackOptions, store: Store) -> Collected:
    """List the files of an environment from what was installed, hold them against the lock.

    Files of the prefix that no package brought are not part of the environment and not of the archive.

    Raises:
        DataError: ``env.prefix``: the prefix is not the lock's; ``env.clobber``: two packages bring one file;
            ``env.link``, ``env.unsafe``.
        RequestError: ``env.editable``; ``env.pack_drop``: the interpreter would be left out.
    """
    records = read_records(source.prefix, store.pkgs, source.lock.conda)
    slimming = Slimming(options.slim, options.keep, options.drop, [one.package.name for one in records])
    contents = [_conda(record, source, slimming) for record in records]
    if source.python:
        brought = [path["_path"] for record in records for path in record.paths]
        wheels = installed_wheels(source.prefix, source.python, brought)
        _same_as_lock(wheels, source)
        local = {one.name for one in source.lock.local}
        contents += [_wheel(one, "local" if one.name in local else "pip", source, slimming) for one in wheels]
    every = _one_of_each(contents)
    if source.python and f"bin/python{source.python}" not in every:
        raise RequestError(
            "env.pack_drop",
            f"what is left out takes bin/python{source.python} along: {', '.join(options.drop)}",
            fix="write narrower globs under `nbplat: pack: drop:`",
        )
    if not options.links:
        python = f"python{source.python}"
        contents = [replace(one, files=tuple(without_links(one.files, every, python))) for one in contents]
    paths = (file.path for one in contents for file in one.files)
    return Collected(tuple(contents), _folders(paths), slimming.rules)


def _conda(record: CondaRecord, source: PackSource, slimming: Slimming) -> Content:
    package = record.package
    files = conda_files(record, source.prefix, source.python)
    size = sum(int(path.get("size_in_bytes") or 0) for path in record.paths)
    content = Content(package.name, package.version, "conda", package.sha256, tuple(files), size)
    return _slimmed(content, source, slimming)


def _wheel(wheel: Installed, kind: str, source: PackSource, slimming: Slimming) -> Content:
    content = Content(wheel.name, wheel.version, kind, wheel.version, tuple(wheel_files(wheel, source.prefix)))
    return _slimmed(content, source, slimming)


def _slimmed(content: Content, source: PackSource, slimming: Slimming) -> Content:
    """Without what is left out, and with every link checked."""
    kept, left_out = [], []
    for file in content.files:
        rule = slimming.out(file.path)
        if rule:
            left_out.append((rule, file.path))
        else:
            kept.append(checked_link(file, str(source.prefix), content.name) if file.target else file)
    return replace(content, files=tuple(kept), left_out=tuple(left_out))


def _one_of_each(contents: Iterable[Content]) -> dict[str, PackedFile]:
    every: dict[str, PackedFile] = {}
    owner: dict[str, str] = {}
    for content in contents:
        for file in content.files:
            if file.path in every:
                raise DataError(
                    "env.clobber",
                    f"{file.path} is brought by {owner[file.path]} and by {content.name}: one wrote over the other",
                    fix=f"take one of them out of the declaration, or {content.name} from the same place as "
                    f"{owner[file.path]}; then lock and build again",
                )
            every[file.path] = file
            owner[file.path] = content.name
    return every


def _same_as_lock(found: Sequence[Installed], source: PackSource) -> None:
    locked = {one.name: one.version for one in source.lock.pip}
    locked |= {one.name: one.version for one in source.lock.local}
    plain = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in locked.items()}
    there = {one.name: one.version for one in found}
    for name in sorted(plain.keys() | there.keys()):
        if name not in there or name not in plain:
            what = f"{name} is {'in it and not in the lock' if name in there else 'not in it'}"
            raise DataError(
                "env.prefix",
                f"the environment is not what its lock says: {what}",
                fix="have it mended: nbplat env verify --repair",
                where=str(source.prefix),
            )


def _folders(paths: Iterable[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and f"{folder}/" not in found:
            found.add(f"{folder}/")
            folder = folder.rpartition("/")[0]
    return tuple(sorted(found))
