"""Reads requirements files as pip writes them: names, versions, markers and hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.errors import RequestError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["Wanted", "read_requirements", "wanted"]

_HASH = re.compile(r"\s--hash[= ](sha256:[0-9a-f]{64})")
_INCLUDE = re.compile(r"(?:-r|--requirement)[= ]?\s*(\S+)\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One requirement.

    Attributes:
        requirement: PEP 508.
        hashes: ``sha256:…`` of the files that may be taken for it; empty: any.
        where: ``requirements.txt, line 3``.
    """

    requirement: Requirement
    hashes: tuple[str, ...] = ()
    where: str = ""


def wanted(text: str, where: str = "") -> Wanted:
    """Read one requirement.

    Raises:
        RequestError: ``env.channel.requirement``.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    bare = _HASH.sub("", f" {text}").strip()
    try:
        return Wanted(Requirement(bare), tuple(_HASH.findall(f" {text}")), where)
    except InvalidRequirement as exc:
        raise RequestError(
            "env.channel.requirement",
            f"{bare!r} is no requirement ({str(exc).splitlines()[0]})",
            fix="write NAME, NAME==1.2 or NAME[extra]>=1,<2; addresses and options do not belong there",
            where=where,
        ) from None


def read_requirements(path: Path) -> tuple[Wanted, ...]:
    """Read a file, with those that it includes by ``-r``.

    Raises:
        RequestError: ``env.channel.requirement``: no such file, or a line that names no distribution.
    """
    return tuple(_read(path, ()))


def _read(path: Path, outer: tuple[Path, ...]) -> Iterator[Wanted]:
    try:
        lines = _lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise RequestError(
            "env.channel.requirement",
            f"the requirements file {path} cannot be read ({getattr(exc, 'strerror', None) or type(exc).__name__})",
            fix="give the path of a text file: --requirements requirements.txt",
            where=str(path),
        ) from None
    for number, line in lines:
        where = f"{path.name}, line {number}"
        include = _INCLUDE.match(line)
        if not include:
            yield wanted(line, where)
        elif (inner := path.parent / include[1]).resolve() not in (*outer, path.resolve()):
            yield from _read(inner, (*outer, path.resolve()))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where a backslash ends them, with the number of the first."""
    begun, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        start = start if begun else number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        if whole := (begun + line).strip():
            yield start, whole
        begun = ""
    if begun.strip():
        yield start, begun.strip()
