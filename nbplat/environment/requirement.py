"""One line of the ``pip:`` part: a PEP 508 requirement; what only the command line of pip understands is refused."""

from __future__ import annotations

import re

__all__ = ["RequirementError", "parse_requirement", "requirement_name"]

_LOCAL_FIX = "declare it under nbplat: local: {path}; it is built to a wheel and locked by the hash of its source"
_PATH = re.compile(r"\.{0,2}/|\.\Z|\.\.\Z|\.\[|file:|.*\.(whl|tar\.gz|zip)\Z")


class RequirementError(ValueError):
    """A text is no requirement that can be locked; `fix` says what to write instead."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def parse_requirement(text: str) -> str:
    """The requirement in one spelling: ``Ray[Default] >= 2.60`` becomes ``ray[default]>=2.60``.

    Raises:
        RequirementError: an option of pip, a path, an address, or no requirement at all.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    text = text.strip()
    if text.startswith("-"):
        raise _option(text)
    if _PATH.match(text):
        raise RequirementError(f"{text!r} is a path", _LOCAL_FIX.format(path=text.removeprefix("file://")))
    try:
        found = Requirement(text)
    except InvalidRequirement as exc:
        why = str(exc).partition("\n")[0].rstrip(":")
        if "://" in text:
            raise _address(text) from None
        raise RequirementError(
            f"{text!r} is no requirement: {why}", "write NAME, NAME==1.2, or NAME[extra]>=1.2,<2"
        ) from None
    if found.url:
        raise _address(found.url)
    extras = f"[{','.join(sorted(canonicalize_name(each) for each in found.extras))}]" if found.extras else ""
    limits = ",".join(sorted(str(each) for each in found.specifier))
    marker = f" ; {found.marker}" if found.marker else ""
    return f"{canonicalize_name(found.name)}{extras}{limits}{marker}"


def requirement_name(text: str) -> str:
    """The normalised name of a requirement that was parsed before."""
    return re.split(r"[^a-z0-9-]", text, maxsplit=1)[0]


def _option(text: str) -> RequirementError:
    option, _, value = text.replace("=", " ", 1).partition(" ")
    if option in ("-e", "--editable"):
        return RequirementError(
            f"{option} installs from a folder, which no worker has", _LOCAL_FIX.format(path=value.strip() or ".")
        )
    if option in ("-r", "--requirement", "-c", "--constraint"):
        return RequirementError(f"{option} reads another file", f"write the lines of {value.strip()} here")
    if "index" in option or option in ("-f", "--find-links", "-i", "--trusted-host"):
        return RequirementError(
            f"{option} chooses an index, which is no part of an environment",
            "set UV_INDEX_URL, UV_EXTRA_INDEX_URL or UV_FIND_LINKS where it is locked and built",
        )
    return RequirementError(f"{option} is an option of pip", "write requirements only: NAME==1.2")


def _address(text: str) -> RequirementError:
    shown = re.sub(r"//[^/@]*@", "//***@", text)
    return RequirementError(
        f"{shown} is an address, which a lock cannot pin by the index's hashes",
        "put the wheel or its source into a folder, and name that under nbplat: local:",
    )
