"""Conda match specs: ``numpy>=1.26,<3``, ``blas=*=openblas``, ``conda-forge::python=3.11``, ``numpy[build='x*']``."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MatchSpec", "SpecError", "parse_spec"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BRACKET = re.compile(r"""\s*(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^\s,'"\]]+))\s*(,|\Z)""")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.!+]*(?:\.\*|\*)?\Z")
_OPERATOR = re.compile(r"(>=|<=|==|!=|~=|>|<|=)?(.*)\Z", re.DOTALL)
_BUILD = re.compile(r"[0-9A-Za-z_.*+]+\Z|\^\S+\$\Z")
_KNOWN = ("version", "build", "channel")


class SpecError(ValueError):
    """A text is no match spec; `offset` is the character at which, from 0, and `fix` what to write instead."""

    def __init__(self, message: str, offset: int = 0, fix: str = "write NAME, NAME=1.2, or NAME>=1.2,<2") -> None:
        super().__init__(message)
        self.offset, self.fix = offset, fix


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """One demand on a package.

    Attributes:
        name: In lower case.
        version: ``>=1.26,<3``, ``3.11.*``, ``==2.0``; empty takes any.
        build: Build string, with ``*`` for the rest; empty takes any.
        channel: Where it must come from; empty takes any.
    """

    name: str
    version: str = ""
    build: str = ""
    channel: str = ""

    def __str__(self) -> str:
        version = self.version or ("*" if self.build else "")
        head = f"{self.channel}::{self.name}" if self.channel else self.name
        return " ".join(part for part in (head, version, self.build) if part)


def parse_spec(text: str) -> MatchSpec:
    """Read one match spec.

    Raises:
        SpecError: it is none, or has what no lock can hold (an address, a file, a hash).
    """
    if "://" in text or text.endswith((".conda", ".tar.bz2")):
        raise SpecError("an address of a package is no match spec", 0, "name the channel, and the package as NAME=1.2")
    channel, at = "", 0
    if "::" in text:
        channel, _, _ = text.partition("::")
        at = len(channel) + 2
    at += len(text[at:]) - len(text[at:].lstrip())
    found = _NAME.match(text, at)
    if not found:
        glob = " (a name cannot be a pattern)" if text[at : at + 1] == "*" else ""
        raise SpecError(f"no package name stands there{glob}", min(at, max(len(text) - 1, 0)))
    rest, brackets, offset = text[found.end() :], "", found.end()
    if (opened := rest.find("[")) >= 0:
        if not rest.rstrip().endswith("]"):
            raise SpecError("the bracket is not closed", offset + opened, "end it with ]")
        brackets, rest = rest[opened + 1 :].rstrip()[:-1], rest[:opened]
    version, build = _tail(rest, offset)
    for key, value in _keys(brackets, offset + opened + 1).items():
        if key == "version":
            version = _version(value, offset + opened)
        elif key == "build":
            build = _build(value, offset + opened)
        else:
            channel = value
    return MatchSpec(found[0].lower(), version, build, channel.strip())


def _tail(rest: str, offset: int) -> tuple[str, str]:
    """Version and build of what follows the name."""
    text = rest.strip()
    offset += len(rest) - len(rest.lstrip())
    if not text:
        return "", ""
    # name=1.2=build pins the version; name=1.2 takes every version that begins so.
    if (three := re.fullmatch(r"={1,2}\s*([^=<>!~,|\s]+)\s*={1,2}\s*(\S+)", text)) is not None:
        version = "" if three[1] == "*" else _version(three[1], offset + three.start(1))
        return version, _build(three[2], offset + three.start(2))
    # Blanks may stand around operators, commas and bars; another blank begins the build.
    compact = re.sub(r"\s*(>=|<=|==|!=|~=|[=<>,|])\s*", r"\1", text)
    version_text, _, build_text = compact.partition(" ")
    if " " in build_text.strip():
        raise SpecError(f"{build_text.split()[1]!r} does not belong there", offset + text.rfind(build_text.split()[1]))
    version = "" if version_text == "*" else _version(version_text, offset)
    return version, _build(build_text.strip(), offset + text.rfind(build_text.strip())) if build_text.strip() else ""


def _version(text: str, offset: int) -> str:
    """Constraints in one spelling: ``=1.2`` as ``1.2.*``, a version alone as ``==1.2``."""
    alternatives = [
        ",".join(_constraint(each, offset + text.find(each)) for each in alternative.split(","))
        for alternative in text.split("|")
    ]
    return "|".join(alternatives)


def _constraint(text: str, offset: int) -> str:
    found = _OPERATOR.match(text.strip())
    assert found is not None  # noqa: S101 - the pattern takes every text
    operator, version = found[1] or "", found[2].strip()
    if version == "*" and not operator:
        return "*"
    if not _VERSION.match(version):
        what = f"{version!r} is no version" if version else "a version is missing"
        raise SpecError(what, offset, "write versions as 1.2, 1.2.* or >=1.2,<2")
    wild = version.endswith("*")
    if operator in ("", "="):
        if wild:
            return version if version.endswith(".*") or version == "*" else f"{version[:-1]}.*"
        return f"{version}.*" if operator == "=" else f"=={version}"
    if wild and operator not in ("==", "!="):
        # ">=1.2.*" is what people write for ">=1.2"; every solver reads it so.
        version = version.rstrip("*").rstrip(".")
    return f"{operator}{version}"


def _build(text: str, offset: int) -> str:
    if not _BUILD.match(text):
        raise SpecError(f"{text!r} is no build", offset, "write a build string, with * for the rest: py311*")
    return "" if text == "*" else text


def _keys(text: str, offset: int) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        match = _BRACKET.match(text, at)
        if not match:
            raise SpecError(
                f"{text[at:].strip()!r} is no key='value'", offset + at, "write [version='>=1', build='py*']"
            )
        key = match[1]
        if key not in _KNOWN:
            fix = f"keys in brackets are {', '.join(_KNOWN)}; a lock pins the hashes by itself"
            raise SpecError(f"the key {key!r} is not supported", offset + at, fix)
        found[key] = next(value for value in match.groups()[1:4] if value is not None)
        at = match.end()
    return found
