"""What uv resolved (``pylock.toml``) as packages of a lock, and an older lock as what uv prefers."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from nbplat.adapters.uv.platforms import Target
from nbplat.environment.lock_record import PipPackage
from nbplat.errors import DataError, RequestError

__all__ = ["packages_of", "preferences"]


def preferences(packages: Iterable[PipPackage], python: str) -> str:
    """A ``pylock.toml`` that only tells versions: uv keeps them where they still fit."""
    lines = ['lock-version = "1.0"', 'created-by = "nbplat"', f'requires-python = ">={python}"']
    for one in packages:
        lines += ["", "[[packages]]", f'name = "{one.name}"', f'version = "{one.version}"']
    return "\n".join(lines) + "\n"


def packages_of(text: str, python: str, target: Target, *, without: Collection[str]) -> tuple[PipPackage, ...]:
    """The packages of a ``pylock.toml``, each with the one file that is installed on the target.

    Args:
        python: Full version.
        without: Names that are there already.

    Raises:
        RequestError: ``env.package``: a package is not of an index, or has no file that runs there.
        DataError: ``env.hash``: the index gives no SHA-256 for it.
    """
    tags = _tags(python, target)
    found = [
        _package(one, tags, target) for one in tomllib.loads(text).get("packages", ()) if one["name"] not in without
    ]
    return tuple(sorted(found, key=lambda one: one.name))


def _package(one: Mapping[str, Any], tags: Mapping[str, int], target: Target) -> PipPackage:
    name, version = one["name"], one.get("version", "")
    wheels = [(rank, each) for each in one.get("wheels", ()) if (rank := _rank(_file_name(each), tags)) is not None]
    chosen = min(wheels, key=lambda pair: pair[0])[1] if wheels else one.get("sdist")
    if chosen is None or not version:
        raise RequestError(
            "env.package",
            f"{name} {version} has no file for {target.uv}" if version else f"{name} does not come from an index",
            fix=f"ask for another version of {name}, or take it from conda: put it into dependencies",
        )
    digest = chosen.get("hashes", {}).get("sha256")
    if not digest:
        raise DataError(
            "env.hash",
            f"the index gives no SHA-256 for {_file_name(chosen)}",
            fix=f"take {name} from an index that does, or from conda",
        )
    return PipPackage(
        name=name,
        version=version,
        hashes=(f"sha256:{digest}",),
        file=_file_name(chosen),
        size=int(chosen.get("size", 0)),
    )


def _file_name(found: Mapping[str, Any]) -> str:
    if "name" in found:
        return str(found["name"])
    return unquote(urlsplit(str(found.get("url") or found.get("path"))).path.rpartition("/")[2])


def _rank(file_name: str, tags: Mapping[str, int]) -> int | None:
    """How well a wheel fits; the lower the better. None: it does not run there."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        *_, fits = parse_wheel_filename(file_name)
    except InvalidWheelFilename:
        return None
    return min((tags[str(tag)] for tag in fits if str(tag) in tags), default=None)


def _tags(python: str, target: Target) -> dict[str, int]:
    from packaging.tags import compatible_tags, cpython_tags

    version = [int(part) for part in python.split(".")[:2]]
    platforms: Sequence[str] = target.wheels
    interpreter = f"cp{version[0]}{version[1]}"
    ordered = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]
    return {str(tag): at for at, tag in reversed(list(enumerate(ordered)))}
