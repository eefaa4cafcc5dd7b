"""The files that a path names: one file, a folder with all below it, or a glob; on a disk or an object store."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nbplat.errors import NotFound, RequestError, did_you_mean, from_record
from nbplat.remote.failure import KernelError, of_store

if TYPE_CHECKING:
    import pyarrow.fs

__all__ = ["FoundFile", "find_files", "partition_values"]

_GLOB = re.compile(r"[*?\[]")
_SUFFIXES = (".parquet", ".parq", ".pq")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a source.

    Attributes:
        location: ``/a/b.parquet`` or ``s3://bucket/key``.
        modified_ns: When it was written, in Unix nanoseconds; 0 where the store does not say.
    """

    location: str
    file_bytes: int
    modified_ns: int


def find_files(path: str, storage: Callable[[str], Mapping[str, str]]) -> tuple[FoundFile, ...]:
    """Files that a path names, sorted by location.

    A file counts under any name, and so does what a glob matches. Below a folder, also one that a glob matches, files
    ending in ``.parquet``, ``.parq`` or ``.pq`` count; names that begin with ``_`` or ``.`` do not. In a glob ``*`` and
    ``?`` stay within one folder, ``**`` goes through any number.

    Args:
        path: Local (relative to the process's folder, ``~`` and ``file:`` too) or ``s3://bucket/key``.
        storage: Gives the options of the store of a location (see `nbplat.remote.storage.filesystem`).

    Raises:
        NotFound: ``source.missing``, ``source.no_match``.
        RequestError: ``source.no_parquet``, a folder without such files; ``source.path``.
        SetupError, RemoteError: the store cannot be asked.
    """
    from nbplat.remote.storage import filesystem

    location = _absolute(path)
    try:
        system, inside = filesystem(location, storage(location))
        scheme = location[: len(location) - len(inside)]
        found = _matched(system, inside, path) if _is_glob(system, inside) else _named(system, inside, path)
    except KernelError as exc:
        raise from_record(exc.record()) from None
    except OSError as exc:
        if (refused := of_store(exc)) is not None:
            raise from_record(refused.record()) from None
        raise RequestError(
            "source.path", f"{path} cannot be listed: {exc}", fix="check the path and who may read it"
        ) from None
    return tuple(
        FoundFile(scheme + info.path, info.size or 0, info.mtime_ns or 0)
        for info in sorted(found.values(), key=lambda info: info.path)
    )


def partition_values(location: str) -> dict[str, str | None]:
    """What the folders of a path say, ``…/day=2024-01-31/…``; None for Hive's null."""
    found: dict[str, str | None] = {}
    for part in location.split("/")[:-1]:
        name, sign, value = part.partition("=")
        if sign and name:
            found[unquote(name)] = None if value == _NULL_PARTITION else unquote(value)
    return found


def _absolute(path: str) -> str:
    scheme, colon, rest = path.partition(":")
    if colon and "/" not in scheme:
        return "/" + rest.lstrip("/") if scheme == "file" else path
    return str(Path(path).expanduser().absolute())


def _is_glob(system: pyarrow.fs.FileSystem, inside: str) -> bool:
    """True when the path has a glob's letters and is not itself the name of something."""
    import pyarrow.fs

    if _GLOB.search(inside) is None:
        return False
    return bool(system.get_file_info(inside.rstrip("/")).type == pyarrow.fs.FileType.NotFound)


def _named(system: pyarrow.fs.FileSystem, inside: str, path: str) -> dict[str, pyarrow.fs.FileInfo]:
    import pyarrow.fs

    info = system.get_file_info(inside.rstrip("/"))
    if info.type == pyarrow.fs.FileType.File:
        return {info.path: info}
    if info.type == pyarrow.fs.FileType.NotFound:
        raise NotFound("source.missing", f"there is no {path}", fix=_near(system, inside))
    below = _below(system, info.path)
    files = {each.path: each for each in below if each.base_name.lower().endswith(_SUFFIXES)}
    if not files:
        others = sorted(each.path for each in below)
        what = f"holds {len(others)} files, e.g. {others[0]}" if others else "is empty"
        raise RequestError(
            "source.no_parquet",
            f"no file below {path} ends in {', '.join(_SUFFIXES)}: it {what}",
            fix="name the files by a glob, e.g. folder/*, when they are Parquet under other names",
        )
    return files


def _matched(system: pyarrow.fs.FileSystem, inside: str, path: str) -> dict[str, pyarrow.fs.FileInfo]:
    import pyarrow.fs

    fixed = _GLOB.split(inside, maxsplit=1)[0].rpartition("/")[0]
    pattern = _regex(inside)
    selector = pyarrow.fs.FileSelector(fixed or "/", recursive=True, allow_not_found=True)
    files: dict[str, pyarrow.fs.FileInfo] = {}
    folders = []
    for info in system.get_file_info(selector):
        if pattern.fullmatch(info.path):
            if info.type == pyarrow.fs.FileType.File:
                files[info.path] = info
            else:
                folders.append(info.path)
    for folder in folders:
        files |= {each.path: each for each in _below(system, folder) if each.base_name.lower().endswith(_SUFFIXES)}
    if not files:
        fix = f"look into {fixed or '/'}; * stays within one folder, ** goes through any number"
        raise NotFound("source.no_match", f"no file matches {path}", fix=fix)
    return files


def _below(system: pyarrow.fs.FileSystem, folder: str) -> list[pyarrow.fs.FileInfo]:
    """Files below a folder that are not hidden."""
    import pyarrow.fs

    start = len(folder.rstrip("/")) + 1
    return [
        info
        for info in system.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True))
        if info.type == pyarrow.fs.FileType.File
        and not any(part.startswith(("_", ".")) for part in info.path[start:].split("/"))
    ]


@functools.lru_cache(maxsize=32)
def _regex(glob: str) -> re.Pattern[str]:
    """The pattern of a glob over whole paths."""
    out, at = [], 0
    while at < len(glob):
        if glob.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif glob.startswith("**", at):
            out.append(".*")
            at += 2
        elif glob[at] in "*?":
            out.append("[^/]*" if glob[at] == "*" else "[^/]")
            at += 1
        elif glob[at] == "[" and (end := glob.find("]", at + 2)) > 0:
            inner = glob[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            out.append(f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]")
            at = end + 1
        else:
            out.append(re.escape(glob[at]))
            at += 1
    return re.compile("".join(out))


def _near(system: pyarrow.fs.FileSystem, inside: str) -> str:
    """What stands beside the path, in words."""
    import pyarrow.fs

    parent, _, name = inside.rstrip("/").rpartition("/")
    selector = pyarrow.fs.FileSelector(parent or "/", allow_not_found=True)
    beside = sorted(info.base_name for info in system.get_file_info(selector))
    return did_you_mean(name, beside) if beside else f"there is no folder {parent} either; write the whole path"
