"""Symbolic links in archives: all stay inside, and where none may be, files stand in their place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace

from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.scripts import python_link
from nbplat.errors import DataError

__all__ = ["checked_link", "without_links"]

_DEEP = 40


def checked_link(file: PackedFile, prefix: str, package: str) -> PackedFile:
    """A link whose target is relative and inside; one into the prefix by its full path is made relative.

    Raises:
        DataError: ``env.link``: it leads out of the environment.
    """
    target = file.target
    if target.startswith("/"):
        if not target.startswith(f"{prefix}/"):
            raise _leads_out(file, package)
        target = posixpath.relpath(target, posixpath.dirname(f"{prefix}/{file.path}"))
    # Counted step by step: `a/../../..` is inside at its end, and a target's own folders may be links.
    depth = file.path.count("/")
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            raise _leads_out(file, package)
    return replace(file, target=target)


def without_links(
    files: Iterable[PackedFile], every: Mapping[str, PackedFile], python: str, *, deep: int = 0
) -> list[PackedFile]:
    """The same files, what they link to in the place of links; in order of path.

    ``python`` and ``python3`` become scripts that start the one that is a file: its bytes need to be there only once.

    Args:
        every: All files of the environment by path.
        python: ``python3.11``.

    Raises:
        DataError: ``env.link``: a link that leads to nothing, or in a circle.
    """
    found: list[PackedFile] = []
    for file in files:
        if not file.target:
            found.append(file)
            continue
        end = _end(file, every)
        if posixpath.dirname(file.path) == "bin" and end == f"bin/{python}":
            found.append(python_link(file.path, python))
        elif end in every:
            found.append(replace(every[end], path=file.path))
        else:
            found += _folder(file, end, every, deep + 1)
    return sorted(found, key=lambda one: one.path)


def _end(file: PackedFile, every: Mapping[str, PackedFile]) -> str:
    """Where a chain of links ends: a file, or a folder."""
    here = file
    for _ in range(_DEEP):
        end = posixpath.normpath(posixpath.join(posixpath.dirname(here.path), here.target))
        following = every.get(end)
        if following is None or not following.target:
            return end
        here = following
    raise _leads_nowhere(file)


def _folder(file: PackedFile, folder: str, every: Mapping[str, PackedFile], deep: int) -> list[PackedFile]:
    inside = [one for path, one in every.items() if path.startswith(f"{folder}/")]
    if not inside or file.path.startswith(f"{folder}/") or deep > _DEEP:
        raise _leads_nowhere(file)
    if any(one.target for one in inside):
        inside = without_links(inside, every, "", deep=deep)
    return [replace(one, path=f"{file.path}{one.path[len(folder) :]}") for one in inside]


def _leads_out(file: PackedFile, package: str) -> DataError:
    return DataError(
        "env.link",
        f"the link {file.path} of {package} leads out of the environment: {file.target}",
        fix=f"leave it out with `nbplat: pack: drop: [{file.path}]`, or take another build of {package}",
    )


def _leads_nowhere(file: PackedFile) -> DataError:
    return DataError(
        "env.link",
        f"the link {file.path} leads to nothing in the archive: {file.target}",
        fix=f"leave it out with `nbplat: pack: drop: [{file.path}]`",
    )
