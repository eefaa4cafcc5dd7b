"""Which files a conda package put into a prefix, by the record that the installer left there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.packing.files import PackedFile, checked_path
from nbplat.environment.packing.scripts import entry_point, entry_points_of
from nbplat.errors import DataError

__all__ = ["CondaRecord", "conda_files", "read_records"]


@dataclass(frozen=True, slots=True)
class CondaRecord:
    """What ``conda-meta`` says of one package.

    Attributes:
        folder: Its extracted package in the cache; need not exist any more.
        record: The file's JSON.
    """

    package: CondaPackage
    folder: Path
    record: Mapping[str, Any]

    @property
    def paths(self) -> list[dict[str, Any]]:
        paths: list[dict[str, Any]] = self.record["paths_data"]["paths"]
        return paths


def read_records(prefix: Path, packages: Path, lock: Iterable[CondaPackage]) -> list[CondaRecord]:
    """Read the records of a prefix and hold them against a lock.

    Args:
        packages: The package cache.

    Returns:
        One a package, in order of name.

    Raises:
        DataError: ``env.prefix``: the prefix is broken, or holds other packages than the lock.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = json.loads(file.read_bytes())
            found[record["name"]] = record
            record["paths_data"]["paths"], record["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise _other(prefix, f"{file.name} cannot be read ({type(error).__name__})") from None
    wanted = {one.name: one for one in lock}
    for name in sorted(found.keys() ^ wanted.keys()):
        raise _other(prefix, f"{name} is {'not in it' if name in wanted else 'in it and not in the lock'}")
    for name, package in sorted(wanted.items()):
        if found[name]["sha256"] != package.sha256:
            raise _other(prefix, f"{name} {found[name].get('version')} in it is another package than the lock's")
    return [
        CondaRecord(package, _extracted(packages, package, found[name]), found[name])
        for name, package in sorted(wanted.items())
    ]


def conda_files(record: CondaRecord, prefix: Path, python: str) -> list[PackedFile]:
    """The files of a package, as they go into an archive; in order of path.

    Bytecode that packages bring is left out: archives keep no times, so Python would take it for stale.

    Args:
        python: ``3.11``; empty without a Python.

    Raises:
        DataError: ``env.unsafe``, ``env.prefix``.
    """
    name = record.package.name
    modules = {path["_path"] for path in record.paths if path["_path"].endswith(".py")}
    made = entry_points_of(record.folder)
    files = []
    for entry in record.paths:
        path, kind = checked_path(entry["_path"], name), entry["path_type"]
        if _bytecode(path, modules) or kind == "directory":
            continue
        if kind in ("unix_python_entry_point", "windows_python_entry_point_script"):
            files.append(entry_point(path, made, prefix, python))
        elif kind == "softlink":
            files.append(PackedFile(path, target=_target(prefix, path, name)))
        elif kind == "hardlink":
            origin = _origin(str(entry.get("original_path") or path), record, python)
            files.append(_file(entry, path, origin, str(record.folder)))
        else:
            raise _other(prefix, f"{name} holds {path} as {kind!r}, which is unknown")
    files.append(PackedFile(_meta_path(record), content=_meta(record, files)))
    return sorted(files, key=lambda file: file.path)


def _extracted(packages: Path, package: CondaPackage, record: Mapping[str, Any]) -> Path:
    """Its folder in the cache: ours are named by the package's hash, rattler's own by its name."""
    noted = Path(str(record.get("extracted_package_dir", "")))
    places = (packages / package.sha256 / noted.name, packages / noted.name, noted)
    return next((place for place in places if (place / "info").is_dir()), places[0])


def _file(entry: Mapping[str, Any], path: str, origin: str, folder: str) -> PackedFile:
    placeholder = str(entry.get("prefix_placeholder") or "")
    binary = bool(placeholder) and entry.get("file_mode") == "binary"
    return PackedFile(path, folder, origin, str(entry.get("sha256") or ""), placeholder, binary)


def _origin(path: str, record: CondaRecord, python: str) -> str:
    """Where the package itself keeps it: portable packages do not know the folder of modules."""
    if record.record.get("noarch") != "python":
        return path
    site = f"lib/python{python}/site-packages/"
    if path.startswith(site):
        return f"site-packages/{path[len(site) :]}"
    return f"python-scripts/{path[4:]}" if path.startswith("bin/") else path


def _target(prefix: Path, path: str, package: str) -> str:
    try:
        return str((prefix / path).readlink())
    except OSError:
        raise _other(prefix, f"the link {path} of {package} is gone") from None


def _bytecode(path: str, modules: set[str]) -> bool:
    if not path.endswith(".pyc"):
        return False
    folder, _, file = path.rpartition("/")
    module = f"{folder.removesuffix('__pycache__')}{file.partition('.')[0]}.py"
    return folder.endswith("__pycache__") and module in modules


def _meta_path(record: CondaRecord) -> str:
    package = record.package
    return f"conda-meta/{package.name}-{package.version}-{package.build}.json"


def _meta(record: CondaRecord, files: Iterable[PackedFile]) -> bytes:
    """The record for ``conda list``, without what tells of this machine."""
    kept = ("arch", "constrains", "depends", "license", "license_family", "noarch", "platform", "timestamp")
    package = record.package
    made = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "channel": package.channel,
        "subdir": package.subdir,
        "fn": package.file_name,
        "url": f"{package.channel}/{package.subdir}/{package.file_name}",
        "sha256": package.sha256,
        "md5": package.md5,
        "files": [file.path for file in files],
        **{key: record.record[key] for key in kept if record.record.get(key) is not None},
    }
    return json.dumps(made, sort_keys=True, indent=1).encode()


def _other(prefix: Path, what: str) -> DataError:
    return DataError(
        "env.prefix",
        f"the environment is not what its lock says: {what}",
        fix="have it mended: nbplat env verify --repair",
        where=str(prefix),
    )
