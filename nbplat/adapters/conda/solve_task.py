"""The solve itself, in the child."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nbplat.adapters.conda.child_main import Tell
from nbplat.adapters.conda.failures import bad_spec, unsatisfiable
from nbplat.adapters.conda.network import Reached, gateway_of, reach_channels
from nbplat.adapters.conda.records import from_record, to_record

__all__ = ["solve"]


def solve(request: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    """The packages that satisfy a request, as JSON, in order of name."""
    return asyncio.run(_solve(request, tell))


async def _solve(request: Mapping[str, Any], tell: Tell) -> list[dict[str, Any]]:
    import rattler
    from rattler.exceptions import SolverError

    platform = request["platform"]
    specs = [_spec(text) for text in request["specs"]]
    gateway = gateway_of(request)
    tell("solve", 0, 2, unit="step", what=f"{platform}: repodata of {len(request['channels'])} channels")
    reached = await reach_channels(request, gateway, platform)
    tell("solve", 1, 2, unit="step", what=f"{platform}: {len(specs)} demands")
    try:
        found = await rattler.solve(
            [rattler.Channel(reached.urls[one["name"]]) for one in request["channels"]],
            specs,
            gateway=gateway,
            platforms=[platform, "noarch"],
            locked_packages=_kept(request, reached),
            virtual_packages=[_virtual(name, text) for name, text in sorted(request["virtual"].items())],
            channel_priority=rattler.ChannelPriority.Strict,
        )
    except SolverError as exc:
        raise unsatisfiable(str(exc), request, frozenset().union(*reached.packages.values())) from None
    packages = sorted((from_record(one, reached.urls) for one in found), key=lambda one: str(one["name"]))
    tell("solve", 2, 2, unit="step", what=f"{platform}: {len(packages)} packages")
    return packages


def _spec(text: str) -> Any:
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        return MatchSpec(text)
    except InvalidMatchSpecError as exc:
        raise bad_spec(text, str(exc).partition("\n")[0]) from None


def _kept(request: Mapping[str, Any], reached: Reached) -> list[Any]:
    """An older lock's packages, as far as their channels are still asked."""
    return [to_record(one, reached.urls) for one in request["prefer"] if one["channel"] in reached.urls]


def _virtual(name: str, text: str) -> Any:
    """``__glibc`` -> ``2.28``; of ``__archspec`` the text is the build, by the field's custom."""
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    version, _, build = text.replace("=", " ").partition(" ")
    if name == "__archspec" and not build:
        version, build = "1", text
    return GenericVirtualPackage(PackageName(name), Version(version or "0"), BuildString(build or "0"))
