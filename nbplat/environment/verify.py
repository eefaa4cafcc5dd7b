"""Is what lies in the store still what was locked? Every file of environments and packages, read and hashed."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.build import BuildTools, rebuild
from nbplat.environment.built import Built
from nbplat.environment.lock_record import environment_key
from nbplat.environment.package_files import FILES_LIST, changed_files, read_list
from nbplat.environment.plain_name import plain_name
from nbplat.environment.ports import Phase, Say
from nbplat.environment.pull import PULLED_FILES, unpack_again
from nbplat.environment.references import processes_in
from nbplat.environment.store import Store

__all__ = ["Damage", "VerifiedEnvironment", "VerifyReport", "repair", "verify"]

_THREADS = 4
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not what it was.

    Attributes:
        package: Whose file it is; empty for one that no package of the lock brought.
        file: Relative to the prefix.
        what: ``missing``, ``changed`` or ``added`` (a package that somebody installed by hand).
    """

    package: str
    file: str
    what: str

    def record(self) -> dict[str, str]:
        """JSON form."""
        return {"package": self.package, "file": self.file, "what": self.what}


@dataclass(frozen=True, slots=True)
class VerifiedEnvironment:
    """What was found of one environment.

    Attributes:
        files: How many were read.
        running: Processes in it, which go on with what they have loaded.
        repaired: True when it was built anew.
    """

    name: str
    key: str
    prefix: str
    files: int
    damage: tuple[Damage, ...]
    running: tuple[int, ...] = ()
    repaired: bool = False

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "key": self.key,
            "prefix": self.prefix,
            "files": self.files,
            "damage": [one.record() for one in self.damage],
            "running": list(self.running),
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found.

    Attributes:
        packages: Damaged files of stored packages, by package; the next install that needs one fetches it again.
        packages_read: How many packages were held against their lists.
    """

    environments: tuple[VerifiedEnvironment, ...]
    packages: dict[str, tuple[str, ...]]
    packages_read: int

    @property
    def whole(self) -> bool:
        """True when nothing is damaged, or everything was repaired."""
        return not self.packages and all(one.repaired or not one.damage for one in self.environments)

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "whole": self.whole,
            "environments": [one.record() for one in self.environments],
            "packages": {name: list(files) for name, files in self.packages.items()},
            "packages_read": self.packages_read,
        }


def verify(store: Store, built: Sequence[Built], *, say: Say) -> VerifyReport:
    """Read environments and the packages that they were built from; nothing is touched.

    Args:
        built: Which; `Store.every` for all.
    """
    checked = []
    for done, one in enumerate(built):
        say(Phase("verify", done, len(built), "environments", one.name))
        checked.append(_environment(store, one))
    wanted = {one.sha256: store.package(one) for each in built if not pulled(each) for one in each.lock.conda}
    damaged = {}
    for done, (sha256, folder) in enumerate(sorted(wanted.items())):
        say(Phase("verify", done, len(wanted), "packages", folder.name))
        found = _package(store.pkgs / sha256, folder)
        if found:
            damaged[folder.name] = found
    say(Phase("verify", len(wanted), len(wanted), "packages"))
    return VerifyReport(tuple(checked), damaged, len(wanted))


def repair(
    report: VerifyReport, built: Sequence[Built], tools: BuildTools, *, folder: Path, offline: bool = False, say: Say
) -> VerifyReport:
    """Build every damaged environment anew in its place; its damaged packages are fetched again on the way.

    Args:
        folder: What paths of local packages are relative to.

    Raises:
        NbplatError: as `build`; an environment that cannot be built stays as it is.
    """
    by_key = {one.key: one for one in built}
    healed = []
    for one in report.environments:
        names = {f"{package.name}-{package.version}-{package.build}" for package in by_key[one.key].lock.conda}
        if one.damage or (names & set(report.packages) and not pulled(by_key[one.key])):
            if pulled(by_key[one.key]):
                unpack_again(by_key[one.key], tools.store, tools.clock, say=say)
            else:
                rebuild(by_key[one.key], tools, folder=folder, offline=offline, say=say)
            healed.append(one.key)
    again = verify(tools.store, built, say=say)
    return VerifyReport(
        tuple(
            VerifiedEnvironment(
                name=now.name,
                key=now.key,
                prefix=now.prefix,
                files=now.files,
                damage=now.damage or (before.damage if now.key in healed else ()),
                running=now.running,
                repaired=now.key in healed and not now.damage,
            )
            for before, now in zip(report.environments, again.environments, strict=True)
        ),
        again.packages,
        again.packages_read,
    )


def _package(layer: Path, folder: Path) -> tuple[str, ...]:
    if not layer.is_dir():
        # Swept, or never there: an environment with copies does not need it.
        return ()
    listed = read_list(layer / FILES_LIST)
    return (FILES_LIST,) if listed is None else tuple(changed_files(folder, listed))


def _environment(store: Store, built: Built) -> VerifiedEnvironment:
    prefix = store.prefix(built.key)
    if pulled(built):
        return _pulled(prefix, built)
    expected = [*_conda_files(prefix), *_pip_files(prefix)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = [one for one in pool.map(lambda item: _look(prefix, *item), expected) if one is not None]
    damage = [*_lost_records(prefix, built), *found, *_added(prefix, built)]
    return VerifiedEnvironment(
        name=built.name,
        key=built.key,
        prefix=built.prefix,
        files=len(expected),
        damage=tuple(sorted(damage, key=lambda one: (one.package, one.file))),
        running=tuple(processes_in(prefix)),
    )


def pulled(built: Built) -> bool:
    """True for one that came as an archive: its key is the archive's hash."""
    return built.key != environment_key(built.lock)


def _pulled(prefix: Path, built: Built) -> VerifiedEnvironment:
    listed = read_list(prefix / PULLED_FILES)
    changed = [PULLED_FILES] if listed is None else changed_files(prefix, listed)
    # The interpreter writes modules that it compiles anew itself.
    damage = [
        Damage("", name, "changed" if os.path.lexists(prefix / name) else "missing")
        for name in changed
        if not name.endswith(".pyc")
    ]
    return VerifiedEnvironment(
        name=built.name,
        key=built.key,
        prefix=built.prefix,
        files=len(listed or ()),
        damage=tuple(damage),
        running=tuple(processes_in(prefix)),
    )


def _conda_files(prefix: Path) -> Iterator[tuple[str, str, str]]:
    """Package, file, sha256 in hex (empty where the record knows none) of everything that conda put there."""
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            known = {one["_path"]: one for one in record["paths_data"]["paths"]}
            for name in record["files"]:
                entry = known.get(name, {})
                plain = entry.get("path_type") != "softlink"
                yield (
                    record["name"],
                    name,
                    (entry.get("sha256_in_prefix") or entry.get("sha256") or "") if plain else "",
                )
        except (ValueError, KeyError, TypeError):
            # The record of a package is a file of the environment like any other.
            yield path.stem.rsplit("-", 2)[0], f"conda-meta/{path.name}", "unreadable"


def _pip_files(prefix: Path) -> Iterator[tuple[str, str, str]]:
    """The same of what pip put there, from each ``RECORD``."""
    for record in sorted(prefix.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        if _installer(record.parent) == "conda":
            continue
        site = record.parent.parent
        name = plain_name(record.parent.name.split("-")[0])
        with record.open(encoding="utf-8", errors="replace", newline="") as source:
            for line in csv.reader(source):
                if line and line[0]:
                    path = (site / line[0]).resolve()
                    kind, _, value = (line[1] if len(line) > 1 else "").partition("=")
                    digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex() if kind == "sha256" else ""
                    if path.is_relative_to(prefix.resolve()):
                        yield name, path.relative_to(prefix.resolve()).as_posix(), digest


def _look(prefix: Path, package: str, name: str, sha256: str) -> Damage | None:
    path = prefix / name
    if not path.is_symlink() and not path.exists():
        # Python removes and writes these itself.
        return None if name.endswith(".pyc") else Damage(package, name, "missing")
    if not sha256 or name.endswith(".pyc"):
        return None
    try:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as source:
            while piece := source.read(_PIECE_BYTES):
                digest.update(piece)
    except OSError:
        return Damage(package, name, "changed")
    return None if digest.hexdigest() == sha256 else Damage(package, name, "changed")


def _lost_records(prefix: Path, built: Built) -> Iterator[Damage]:
    for one in built.lock.conda:
        name = f"conda-meta/{one.name}-{one.version}-{one.build}.json"
        if not (prefix / name).is_file():
            yield Damage(one.name, name, "missing")


def _added(prefix: Path, built: Built) -> Iterator[Damage]:
    """Distributions that nobody locked."""
    of_conda = {name for _, name, _ in _conda_files(prefix)}
    locked = {plain_name(one.name) for one in built.lock.pip} | {plain_name(one.name) for one in built.lock.local}
    for info in sorted(prefix.glob("lib/python*/site-packages/*.dist-info")):
        name = info.relative_to(prefix).as_posix()
        if f"{name}/METADATA" not in of_conda and plain_name(info.name.split("-")[0]) not in locked:
            yield Damage("", name, "added")


def _installer(info: Path) -> str:
    try:
        return (info / "INSTALLER").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
