"""Which files a request makes a driver read, and whether each may be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["BadFile", "bad_file"]

_FIELDS = ("jars", "pyFiles", "files", "archives")
# Settings that name files as those fields do; by them a request would go around the rule.
_SETTINGS = (
    "spark.jars",
    "spark.submit.pyFiles",
    "spark.files",
    "spark.archives",
    "spark.yarn.dist.jars",
    "spark.yarn.dist.pyFiles",
    "spark.yarn.dist.files",
    "spark.yarn.dist.archives",
    "spark.jars.ivySettings",
    "spark.kerberos.keytab",
    "spark.yarn.keytab",
)


class BadFile(NamedTuple):
    """A file that must not be taken: the field or setting that names it, and why."""

    where: str
    why: str


def bad_file(request: Mapping[str, Any], refusal: Callable[[str], str | None]) -> BadFile | None:
    """The first file of a request that must not be taken; None: all may.

    Args:
        request: Fields in Livy's names.
        refusal: Why one must not, for people; None: it may.
    """
    for where, path in _named(request):
        # Of an archive `x.tar.gz#name` the name is where it is unpacked.
        if why := refusal(path.partition("#")[0]):
            return BadFile(where, why)
    return None


def _named(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in _FIELDS:
        for path in request.get(field, ()):
            yield field, path
    for key in _SETTINGS:
        for path in request.get("conf", {}).get(key, "").split(","):
            if path.strip():
                yield f"conf.{key}", path.strip()
