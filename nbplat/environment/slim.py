"""What a slim archive leaves out: files that no job reads."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

__all__ = ["RULES", "Slimming"]

_TESTS = re.compile(r"/(tests?|idle_test)/")
_HEADERS = (".h", ".hh", ".hpp", ".hxx", ".cuh", ".inl")
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".pyx", ".pxd", ".pxi")
_DOCS = ("share/man/", "share/doc/", "share/info/", "share/gtk-doc/", "man/")
_BUILDING = ("lib/pkgconfig/", "share/pkgconfig/", "lib/cmake/", "share/cmake/", "share/aclocal/")
_PYTHON = re.compile(r"lib/python[0-9.]+[a-z]*/")
_CONFIG = re.compile(r"lib/python[0-9.]+[a-z]*/config-")


def _below_package(path: str) -> str:
    """The path below the folder of modules; empty for what lies elsewhere."""
    _, site, below = path.partition("/site-packages/")
    if site:
        return below
    found = _PYTHON.match(path)
    return path[found.end() :] if found else ""


def _tests(path: str) -> bool:
    below = _below_package(path)
    # A distribution may itself be called tests; within the standard library the folder is no part of a package.
    return bool(_TESTS.search(f"/{below}" if "/site-packages/" not in path else below))


RULES: dict[str, Callable[[str], bool]] = {
    "tests": _tests,
    "headers": lambda path: path.startswith("include/") or (path.endswith(_HEADERS) and "/site-packages/" in path),
    "static libraries": lambda path: path.endswith((".a", ".la")),
    "sources": lambda path: path.endswith(_SOURCES) and "/site-packages/" in path,
    "stubs": lambda path: path.endswith(".pyi"),
    "manuals": lambda path: path.startswith(_DOCS),
    "building": lambda path: path.startswith(_BUILDING) or bool(_CONFIG.match(path)),
}
"""By name, in order of precedence: whether a rule leaves a path out."""


class Slimming:
    """Decides what is left out of one archive.

    Args:
        slim: Whether the rules count.
        keep: Globs that the rules must not touch.
        drop: Globs left out in any case.
        packages: Names of the environment's packages; some read at run time what others do not.
    """

    def __init__(self, slim: bool, keep: Iterable[str], drop: Iterable[str], packages: Iterable[str]) -> None:
        self._keep, self._drop = _globs(tuple(keep)), _globs(tuple(drop))
        rules = dict(RULES) if slim else {}
        # It imports what stubs say, when it is asked for a name.
        if "lazy-loader" in packages or "lazy_loader" in packages:
            rules.pop("stubs", None)
        self._rules = rules

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that count."""
        return tuple(self._rules)

    def out(self, path: str) -> str:
        """The rule that leaves a path out (``drop`` for the caller's own), or nothing."""
        if self._drop and self._drop(path):
            return "drop"
        if not self._rules or (self._keep and self._keep(path)):
            return ""
        return next((name for name, leaves_out in self._rules.items() if leaves_out(path)), "")


@lru_cache(maxsize=32)
def _globs(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
