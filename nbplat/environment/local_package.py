"""What a local package says of itself, before it is built where that is possible: name, version, requirements."""

from __future__ import annotations

import email.parser
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from nbplat.environment.definition import Definition, LocalPackage
from nbplat.environment.lock_record import LocalLayer
from nbplat.environment.ports import LocalDistribution, Pip, Say
from nbplat.environment.source_hash import source_hash
from nbplat.errors import RequestError, did_you_mean
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = ["read_local_packages"]


def read_local_packages(
    definition: Definition, pip: Pip, *, offline: bool, say: Say
) -> tuple[tuple[LocalDistribution, ...], tuple[LocalLayer, ...]]:
    """The local packages of a declaration: what they require, and how a lock names them.

    A folder whose ``pyproject.toml`` leaves name, version or requirements to its build is built to ask it.

    Raises:
        RequestError: ``env.local``: nothing to install there, it does not build, an extra that it has not, or two of
            one name.
    """
    found = []
    for one in definition.local:
        path = Path(definition.folder, one.path).expanduser()
        layer_hash = source_hash(path)
        said = _read(path, one, pip, offline=offline, say=say)
        requires = (*([f"python{said.python}"] if said.python else []), *said.requires)
        found.append((said, LocalLayer(said.name, said.version, one.path, layer_hash, one.extras, requires)))
    names = [said.name for said, _ in found]
    for name in names:
        if names.count(name) > 1:
            paths = " and ".join(layer.path for said, layer in found if said.name == name)
            raise RequestError("env.local", f"{paths} are both called {name}", fix="keep one of them", where=paths)
    return tuple(said for said, _ in found), tuple(sorted((layer for _, layer in found), key=lambda one: one.name))


def _read(path: Path, local: LocalPackage, pip: Pip, *, offline: bool, say: Say) -> LocalDistribution:
    if path.suffix == ".whl":
        said = _of_wheel(path, local)
    else:
        said = _of_project(path, local) or _of_build(path, local, pip, offline=offline, say=say)
    unknown = sorted({_normal(extra) for extra in local.extras} - set(said.known_extras))
    if unknown:
        raise RequestError(
            "env.local",
            f"{said.name} has no extra {unknown[0]!r}",
            fix=did_you_mean(unknown[0], said.known_extras) or "it has no extras: take them out",
            where=local.path,
        )
    return said


def _of_project(path: Path, local: LocalPackage) -> LocalDistribution | None:
    """What stands in ``pyproject.toml``; None when its build has a say in it."""
    try:
        text = (path / "pyproject.toml").read_text(encoding="utf-8")
        project: dict[str, Any] = tomllib.loads(text).get("project", {})
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        where = str(path / "pyproject.toml")
        raise RequestError("env.local", f"not TOML: {exc}", fix="mend that line", where=where) from None
    asks = {"version", "dependencies", "optional-dependencies", "requires-python"}
    if not project.get("name") or not project.get("version") or asks & set(project.get("dynamic", ())):
        return None
    extras = project.get("optional-dependencies", {})
    of_extras = [_with_extra(requirement, _normal(extra)) for extra, each in extras.items() for requirement in each]
    return LocalDistribution(
        name=_normal(project["name"]),
        version=_version(str(project["version"]), local),
        requires=(*project.get("dependencies", ()), *of_extras),
        python=str(project.get("requires-python", "")),
        extras=local.extras,
        known_extras=tuple(sorted(map(_normal, extras))),
    )


def _of_build(path: Path, local: LocalPackage, pip: Pip, *, offline: bool, say: Say) -> LocalDistribution:
    with ScratchFolder(None, "nbplat-wheel-") as folder:
        return _of_wheel(pip.wheel(path, folder, offline=offline, say=say), local)


def _of_wheel(path: Path, local: LocalPackage) -> LocalDistribution:
    try:
        with zipfile.ZipFile(path) as wheel:
            inside = next(name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            found = email.parser.Parser().parsestr(wheel.read(inside).decode())
    except (OSError, zipfile.BadZipFile, StopIteration):
        raise RequestError(
            "env.local", f"{path} is no wheel that can be read", fix="build it again", where=local.path
        ) from None
    return LocalDistribution(
        name=_normal(found["Name"]),
        version=_version(found["Version"], local),
        requires=tuple(found.get_all("Requires-Dist") or ()),
        python=found["Requires-Python"] or "",
        extras=local.extras,
        known_extras=tuple(sorted(map(_normal, found.get_all("Provides-Extra") or ()))),
    )


def _with_extra(requirement: str, extra: str) -> str:
    head, _, marker = requirement.partition(";")
    both = f"({marker.strip()}) and " if marker.strip() else ""
    return f"{head.strip()} ; {both}extra == '{extra}'"


def _version(text: str, local: LocalPackage) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text))
    except InvalidVersion:
        raise RequestError(
            "env.local", f"{text!r} is no version that Python's rules know", fix="write 1.2.0", where=local.path
        ) from None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
