"""What the name of a package's file and its build string tell, by conda's custom."""

from __future__ import annotations

import re

__all__ = ["number_of", "split_file_name"]


def split_file_name(file_name: str) -> tuple[str, str, str]:
    """Name, version and build; empty texts where the name is of another form."""
    stem = re.sub(r"\.(conda|tar\.bz2)\Z", "", file_name)
    parts = stem.rsplit("-", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")


def number_of(build: str) -> int:
    """The build number that a build string ends with; 0 where it ends otherwise."""
    found = re.search(r"(?:^|_)(\d+)\Z", build)
    return int(found[1]) if found else 0
