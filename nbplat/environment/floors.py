"""Versions that must be reached: what Spark, Ray and our own bodies ask of Python and of packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

__all__ = ["BODY_PACKAGES", "BODY_PYTHON", "RAY_PARTS", "Floors", "compare", "floors_of_spark", "minor", "satisfies"]

BODY_PYTHON = "3.9"
"""Oldest Python that our own remote code runs in."""

BODY_PACKAGES = ("numpy", "pyarrow")
"""What a Python body is handed its batch with."""

RAY_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"data": ("pandas",), "train": ("fsspec", "pandas", "pydantic", "requests")}
)
"""What workers import for a part of Ray besides ``ray`` itself and `BODY_PACKAGES` (``ray/data/__init__.py`` …)."""


@dataclass(frozen=True, slots=True)
class Floors:
    """What a Spark version asks of its Python workers.

    Attributes:
        spark: First version that asks it, ``4.1``.
        packages: Oldest versions that its pandas UDFs and Arrow functions take; a package that is not there is
            asked for by those functions only.
    """

    spark: str
    python: str
    packages: Mapping[str, str]


# PySpark's migration guide and `pyspark.sql.pandas.utils` of each version.
_SPARK = (
    Floors("4.2", "3.10", MappingProxyType({"pandas": "2.2.0", "pyarrow": "18.0.0", "numpy": "1.22"})),
    Floors("4.1", "3.10", MappingProxyType({"pandas": "2.2.0", "pyarrow": "15.0.0", "numpy": "1.22"})),
    Floors("4.0", "3.9", MappingProxyType({"pandas": "2.0.0", "pyarrow": "11.0.0", "numpy": "1.21"})),
)


def floors_of_spark(version: str) -> Floors | None:
    """The floors of a Spark version; None below 4.0, which we do not know. Empty takes the newest."""
    if not version:
        return _SPARK[0]
    return next((floors for floors in _SPARK if compare(version, floors.spark) >= 0), None)


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``; what there is of a shorter one."""
    return ".".join(version.split(".")[:2])


def compare(left: str, right: str) -> int:
    """-1, 0 or 1, part by part; a missing part is 0, and a part with letters (``0rc1``) comes before its number."""
    for mine, theirs in zip_longest(_parts(left), _parts(right), fillvalue=(0, "")):
        if mine != theirs:
            # A pre-release has letters and is older; equal numbers with other letters go by the letters.
            here, there = (mine[0], mine[1] == "", mine[1]), (theirs[0], theirs[1] == "", theirs[1])
            return -1 if here < there else 1
    return 0


def satisfies(version: str, constraint: str) -> bool | None:
    """Whether a version meets a conda constraint: ``>=2.17,<3.0a0``, ``12.*``, ``11|12``, ``=1``, ``*`` or nothing.

    Returns:
        None for a constraint that is not understood; nobody is refused for one.
    """
    if constraint in ("", "*"):
        return True
    parts: list[bool] = []
    for choice in constraint.split("|"):
        held = [_meets(version, term.strip()) for term in choice.split(",")]
        if None in held:
            return None
        parts.append(all(held))
    return any(parts)


def _meets(version: str, term: str) -> bool | None:
    found = re.fullmatch(r"(>=|<=|==|!=|~=|>|<|=)?\s*([0-9][0-9A-Za-z._]*?)(\.?\*)?", term)
    if found is None:
        return True if term == "*" else None
    sign, wanted, star = found[1] or "", found[2], found[3]
    order = compare(version, wanted)
    starts = _parts(version)[: len(_parts(wanted))] == _parts(wanted)
    match sign:
        case ">=":
            return order >= 0
        case "<=":
            return order <= 0
        case ">":
            return order > 0
        case "<":
            return order < 0
        case "!=":
            return not starts if star else order != 0
        case "~=":
            return order >= 0 and _parts(version)[: len(_parts(wanted)) - 1] == _parts(wanted)[:-1]
        case "=":
            return starts
        case _:
            return starts if star else order == 0


def _parts(version: str) -> list[tuple[int, str]]:
    parts = []
    for part in version.partition("+")[0].split("."):
        found = re.match(r"(\d*)(.*)", part)
        assert found is not None  # noqa: S101 - both groups may be empty
        parts.append((int(found[1] or 0), found[2]))
    return parts
