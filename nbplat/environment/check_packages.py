"""Which differing packages of two sides are worth a word."""

from __future__ import annotations

from collections.abc import Collection

from nbplat.environment.check import ERROR, WARNING, Finding, change
from nbplat.environment.packages_diff import PackageDifference, diff_packages
from nbplat.environment.sides import Side

__all__ = ["check_packages"]

_SHOWN = 6


def check_packages(
    left: Side, right: Side, *, matters: Collection[str] = ()
) -> tuple[list[Finding], tuple[PackageDifference, ...]]:
    """What differs between two sides that take part in one job.

    Returns:
        Findings for what matters, one more that counts the rest, and every difference.
    """
    differences = diff_packages(left, right, matters=matters)
    findings = []
    for one in differences:
        if one.matters:
            found = ((left.who, str(one.left or "none")), (right.who, str(one.right or "none")))
            wanted = f"{one.name}=={one.left.version}" if one.left else one.name
            findings.append(
                Finding(
                    "package",
                    ERROR if one.kind == "missing" else WARNING,
                    f"{one.name} is {one.left or 'missing'} in {left.who} and {one.right or 'missing'} in {right.who}",
                    found,
                    change(right, wanted),
                    one.name,
                )
            )
    rest = [one for one in differences if not one.matters and one.kind == "version"]
    if rest:
        shown = ", ".join(
            f"{one.name} {one.left.version}/{one.right.version}" for one in rest[:_SHOWN] if one.left and one.right
        )
        what = "1 package has another version" if len(rest) == 1 else f"{len(rest)} packages have other versions"
        more = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
        findings.append(
            Finding(
                "package",
                WARNING,
                f"{what} in {left.who} and {right.who}: {shown}{more}",
                ((left.who, f"{len(left.packages)} packages"), (right.who, f"{len(right.packages)} packages")),
                "build both from one lock where their objects cross (pickles, models)",
            )
        )
    return findings, differences
