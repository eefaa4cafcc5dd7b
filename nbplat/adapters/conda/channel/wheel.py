"""Reads wheels as distributions."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import zipfile
from email.parser import Parser
from functools import partial
from pathlib import Path

from nbplat.environment.channel.depends import conda_name
from nbplat.environment.channel.distribution import Distribution, DistributionFile
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import check_path
from nbplat.errors import DataError, RequestError

__all__ = ["read_wheel", "wheels_in"]

_SCHEMES = {"purelib": "site", "platlib": "site", "scripts": "scripts", "data": "data", "headers": "headers"}


def wheels_in(folders: tuple[str, ...]) -> list[Path]:
    """Wheels of folders, and wheels named themselves, in order of name.

    Raises:
        RequestError: ``env.channel.wheels``: there is no such folder or wheel, or none in it.
    """
    found: list[Path] = []
    for given in folders:
        path = Path(given).expanduser()
        here = [path] if path.is_file() and path.suffix == ".whl" else sorted(path.glob("*.whl"))
        if not here:
            raise RequestError(
                "env.channel.wheels",
                f"there is no wheel in {given}" if path.is_dir() else f"there is no folder of wheels at {given}",
                fix="put wheels there (pip download -d FOLDER -r requirements.txt) or leave --wheels out",
                where=given,
            )
        found += here
    return sorted(set(found))


def read_wheel(path: Path, interpreter: Interpreter) -> Distribution:
    """Read a wheel that this interpreter can use; its files are read when they are written.

    Raises:
        RequestError: ``env.channel.wheel``: it is for another Python or platform.
        DataError: ``env.channel.wheel``: it is damaged.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        _, version, _, tags = parse_wheel_filename(path.name)
        archive = zipfile.ZipFile(path)
        names = archive.namelist()
        info = next(one.split("/", 1)[0] for one in names if one.endswith(".dist-info/WHEEL") and one.count("/") == 1)
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        record = {
            row[0]: (row[1], row[2]) for row in csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode())) if row
        }
    except (zipfile.BadZipFile, InvalidWheelFilename, StopIteration, KeyError, IndexError, UnicodeDecodeError) as exc:
        raise DataError(
            "env.channel.wheel",
            f"{path.name} is no whole wheel ({type(exc).__name__})",
            fix="fetch or build it again, or take it out of the folder",
            where=str(path),
        ) from None
    fits(path.name, {str(tag) for tag in tags}, interpreter)
    files = tuple(
        _file(archive, path.name, name, info, record) for name in names if not name.endswith(("/", ".pyc", ".pyo"))
    )
    entry_points = f"{info}/entry_points.txt"
    return Distribution(
        name=conda_name(str(metadata["Name"])),
        version=str(version),
        metadata=metadata,
        pure=all(tag.platform == "any" and tag.abi == "none" for tag in tags),
        info=info,
        entry_points=archive.read(entry_points).decode() if entry_points in names else "",
        files=files,
        source=str(path),
        fingerprint=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def fits(name: str, tags: set[str], interpreter: Interpreter) -> None:
    """Refuse tags that an interpreter cannot use.

    Raises:
        RequestError: ``env.channel.wheel``.
    """
    if tags & _usable_tags(interpreter.minor):
        return
    raise RequestError(
        "env.channel.wheel",
        f"{name} is not for Python {interpreter.minor} on {interpreter.subdir}: its tags are {', '.join(sorted(tags))}",
        fix=f"fetch the one for it: pip download --only-binary :all: --python-version {interpreter.minor} NAME",
        where=name,
    )


@functools.cache
def _usable_tags(version: str) -> frozenset[str]:
    from packaging import tags

    major, minor = (int(part) for part in version.split("."))
    platforms = list(tags.platform_tags())
    mine = tags.cpython_tags(python_version=(major, minor), platforms=platforms)
    interpreted = f"cp{major}{minor}"
    others = tags.compatible_tags(python_version=(major, minor), interpreter=interpreted, platforms=platforms)
    return frozenset(str(tag) for tag in (*mine, *others))


def _file(
    archive: zipfile.ZipFile, wheel: str, name: str, info: str, record: dict[str, tuple[str, str]]
) -> DistributionFile:
    check_path(name, wheel)
    digest, size = record.get(name, ("", ""))
    executable = bool(archive.getinfo(name).external_attr >> 16 & 0o111)
    scheme, path = "site", name
    if name.split("/", 1)[0] == info.replace(".dist-info", ".data"):
        kind, _, path = name.split("/", 1)[1].partition("/")
        if kind not in _SCHEMES or not path:
            raise DataError(
                "env.channel.wheel",
                f"{wheel} has a folder that no wheel has: {name}",
                fix="build it again with a current tool",
                where=wheel,
            )
        scheme = _SCHEMES[kind]
    return DistributionFile(scheme, path, partial(_read, archive, wheel, name, digest), executable, digest, size)


def _read(archive: zipfile.ZipFile, wheel: str, name: str, digest: str) -> bytes:
    content = archive.read(name)
    if digest.startswith("sha256="):
        found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if f"sha256={found}" != digest:
            raise DataError(
                "env.channel.wheel",
                f"{wheel} is damaged: {name} is not what its RECORD says",
                fix="fetch or build it again",
                where=wheel,
            )
    return content
