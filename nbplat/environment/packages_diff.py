"""Which packages differ between two sides, and which of them matter to what is about to run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from nbplat.environment.sides import Installed, Side
from nbplat.remote.probe import normal_name

__all__ = ["PackageDifference", "diff_packages"]

# Conda splits and bundles where wheels do not; that one side has these as packages says nothing about Python code.
_CONDA_OWN = (
    "_",
    "lib",
    "ca-certificates",
    "ld_impl",
    "tzdata",
    "bzip2",
    "openssl",
    "ncurses",
    "readline",
    "xz",
    "zlib",
)
_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv", "conda", "mamba"})


@dataclass(frozen=True, slots=True)
class PackageDifference:
    """One package that is not the same on both sides.

    Attributes:
        left, right: What each side has; None when it lacks the package.
        matters: Whether it is among what is about to be imported.
    """

    name: str
    left: Installed | None
    right: Installed | None
    matters: bool

    @property
    def kind(self) -> str:
        """``missing`` (right lacks it), ``extra`` (left lacks it), ``version`` or ``build``."""
        if self.right is None:
            return "missing"
        if self.left is None:
            return "extra"
        return "version" if self.left.version != self.right.version else "build"

    def record(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.name,
            "kind": self.kind,
            "left": str(self.left) if self.left else None,
            "right": str(self.right) if self.right else None,
            "matters": self.matters,
        }


def diff_packages(left: Side, right: Side, *, matters: Collection[str] = ()) -> tuple[PackageDifference, ...]:
    """Compare name, version and build; those that matter come first, then by name.

    Python itself is left out (`check` has rules of its own for it), and so are installers. Builds are compared where
    both sides have one: the same version from a channel and from an index is the same to Python code.

    Args:
        matters: Names of distributions.

    Returns:
        Empty when the two are the same, and when one of them does not know its packages.
    """
    if not left.packages or not right.packages:
        return ()
    mine, theirs = _by_name(left), _by_name(right)
    wanted = {normal_name(name) for name in matters}
    found = []
    for name in sorted({*mine, *theirs} - {"python"} - _INSTALLERS):
        here, there = mine.get(name), theirs.get(name)
        if here is not None and there is not None:
            same_build = not (here.build and there.build) or here.build == there.build
            if here.version == there.version and same_build:
                continue
        elif name.startswith(_CONDA_OWN) and name not in wanted:
            continue
        found.append(PackageDifference(name, here, there, name in wanted))
    return tuple(sorted(found, key=lambda one: (not one.matters, one.name)))


def _by_name(side: Side) -> dict[str, Installed]:
    return {normal_name(name) if not name.startswith("_") else name: found for name, found in side.packages.items()}
