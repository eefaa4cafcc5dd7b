"""Reads installed distributions by their ``RECORD``."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable
from email.parser import Parser
from functools import partial
from pathlib import Path

from nbplat.adapters.conda.channel.wheel import fits
from nbplat.environment.channel.depends import conda_name
from nbplat.environment.channel.distribution import Distribution, DistributionFile
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import PLACEHOLDER
from nbplat.errors import RequestError

__all__ = ["find_infos", "read_installed"]


def find_infos(sites: Iterable[Path]) -> dict[str, Path]:
    """The ``.dist-info`` folder (or what older tools left) of every installed distribution, by normalised name."""
    found: dict[str, Path] = {}
    for site in sites:
        for pattern in ("*.dist-info", "*.egg-info", "*.egg-link", "__editable__.*"):
            for path in sorted(site.glob(pattern)):
                name = path.name.removeprefix("__editable__.").split("-", 1)[0]
                found.setdefault(conda_name(name.removesuffix(".egg")), path)
    return found


def read_installed(info: Path, interpreter: Interpreter) -> Distribution:
    """Read what an installer recorded.

    Raises:
        RequestError: ``env.channel.editable``, ``env.channel.record`` (installed without a list of its files, or a
            file is gone), ``env.channel.wheel`` (made for another Python).
    """
    if info.suffix != ".dist-info" or not (info / "METADATA").is_file():
        raise _no_record(info, "it was installed by a tool that keeps no METADATA")
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8", errors="replace"))
    name, version = str(metadata["Name"]), _version(str(metadata["Version"]))
    _refuse_editable(info, name)
    if not (info / "RECORD").is_file():
        raise _no_record(info, "it has no RECORD, the list of its files")
    record = (info / "RECORD").read_bytes()
    rows = [row for row in csv.reader(io.StringIO(record.decode("utf-8", "replace"))) if row]
    wheel = Parser().parsestr(_text(info / "WHEEL"))
    tags = set(wheel.get_all("Tag") or ())
    if tags:
        fits(f"{name} {version}, as installed,", tags, interpreter)
    files = [_file(info, row, name) for row in rows if not _compiled(row[0])]
    compiled = any(one.path.endswith(".so") or ".so." in one.path for one in files)
    pure = not compiled and all(tag.endswith("-none-any") for tag in tags)
    return Distribution(
        name=conda_name(name),
        version=version,
        metadata=metadata,
        pure=pure,
        info=info.name,
        entry_points=_text(info / "entry_points.txt"),
        files=tuple(files),
        source=f"{info.parent}",
        fingerprint=hashlib.sha256(record + (info / "METADATA").read_bytes()).hexdigest(),
    )


def _version(text: str) -> str:
    """As wheels spell it, so that both ways give the same package."""
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text))
    except InvalidVersion:
        return text


def _refuse_editable(info: Path, name: str) -> None:
    try:
        told = json.loads(_text(info / "direct_url.json") or "{}")
    except ValueError:
        told = {}
    if not told.get("dir_info", {}).get("editable"):
        return
    source = str(told.get("url", "")).removeprefix("file://")
    raise RequestError(
        "env.channel.editable",
        f"{name} is installed editable, from {source or 'a folder'}: what is installed is a pointer, not the package",
        fix=f"build its wheel and give that: uv build --wheel {source} --out-dir wheels, then --wheels wheels; "
        "or name the folder under nbplat.local of an environment",
        where=name,
    )


def _file(info: Path, row: list[str], name: str) -> DistributionFile:
    site = info.parent
    path = Path(os.path.normpath(site / row[0]))
    if not path.is_file():
        raise RequestError(
            "env.channel.record",
            f"{name} is not whole: {row[0]} is in its list of files and not on the disk",
            fix=f"install it again: pip install --force-reinstall --no-deps {name}",
            where=str(path),
        )
    digest, size = (*row[1:3], "", "")[:2]
    scheme, inside = _place(path, site, name)
    executable = bool(path.stat().st_mode & 0o111)
    if scheme != "site":
        # Installers write the interpreter's path into scripts, and who moves an environment does so again.
        digest = size = ""
    read = partial(_read, path, digest, _prefix_of(site), name)
    return DistributionFile(scheme, inside, read, executable, digest, size)


def _place(path: Path, site: Path, name: str) -> tuple[str, str]:
    """What kind of file it is, and where it belongs."""
    prefix = _prefix_of(site)
    for scheme, folder in (("site", site), ("scripts", prefix / "bin"), ("headers", _headers(prefix, site, name))):
        if path.is_relative_to(folder):
            return scheme, path.relative_to(folder).as_posix()
    if path.is_relative_to(prefix):
        return "data", path.relative_to(prefix).as_posix()
    raise RequestError(
        "env.channel.record",
        f"{name} has a file outside its environment: {path}",
        fix="build its wheel and give that with --wheels; such a file is never packaged",
        where=name,
    )


def _prefix_of(site: Path) -> Path:
    """``<prefix>/lib/python3.11/site-packages`` -> ``<prefix>``."""
    return site.parent.parent.parent


def _headers(prefix: Path, site: Path, name: str) -> Path:
    return prefix / "include" / "site" / site.parent.name / name


def _read(path: Path, digest: str, prefix: Path, name: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise RequestError(
            "env.channel.record",
            f"{name} is not whole: {path.name} cannot be read ({(exc.strerror or type(exc).__name__).lower()})",
            fix=f"let it be read by you, or install it again: pip install --force-reinstall --no-deps {name}",
            where=str(path),
        ) from None
    if digest.startswith("sha256="):
        found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if f"sha256={found}" != digest.rstrip("="):
            raise RequestError(
                "env.channel.changed",
                f"{name} was changed after it was installed: {path.name} is not what its RECORD says",
                fix=f"install it again: pip install --force-reinstall --no-deps {name}",
                where=str(path),
            )
    if b"\0" not in content:
        content = content.replace(f"{prefix}/".encode(), f"{PLACEHOLDER}/".encode())
    return content


def _compiled(path: str) -> bool:
    return path.endswith((".pyc", ".pyo"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _no_record(info: Path, why: str) -> RequestError:
    name = conda_name(info.name.removeprefix("__editable__.").split("-", 1)[0])
    return RequestError(
        "env.channel.record",
        f"{name} cannot be packaged as it is installed: {why}",
        fix=f"install it with pip or uv (pip install --force-reinstall {name}), or give its wheel with --wheels",
        where=str(info),
    )
