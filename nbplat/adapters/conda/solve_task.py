"""The solve itself, in the child."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nbplat.adapters.conda.child_main import Tell
from nbplat.adapters.conda.failures import bad_spec, unsatisfiable
from nbplat.adapters.conda.network import Reached, gateway_of, reach_channels
from nbplat.adapters.conda.records import from_record

__all__ = ["solve"]


def solve(request: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    """The packages that satisfy a request, as JSON, in order of name."""
    return asyncio.run(_solve(request, tell))


async def _solve(request: Mapping[str, Any], tell: Tell) -> list[dict[str, Any]]:
    import rattler
    from rattler.exceptions import SolverError

    platform = request["platform"]
    for text in request["specs"]:
        _spec(text, {})
    gateway = gateway_of(request)
    tell("solve", 0, 2, unit="step", what=f"{platform}: repodata of {len(request['channels'])} channels")
    reached = await reach_channels(request, gateway, platform)
    tell("solve", 1, 2, unit="step", what=f"{platform}: {len(request['specs'])} demands")
    try:
        found = await rattler.solve(
            [rattler.Channel(reached.urls[one["name"]]) for one in request["channels"]],
            [_spec(text, reached.urls) for text in request["specs"]],
            gateway=gateway,
            platforms=[platform, "noarch"],
            locked_packages=await _kept(request, reached, gateway),
            virtual_packages=[_virtual(name, text) for name, text in sorted(request["virtual"].items())],
            channel_priority=rattler.ChannelPriority.Strict,
        )
    except SolverError as exc:
        raise unsatisfiable(str(exc), request, frozenset().union(*reached.packages.values())) from None
    packages = sorted((from_record(one, reached.urls) for one in found), key=lambda one: str(one["name"]))
    tell("solve", 2, 2, unit="step", what=f"{platform}: {len(packages)} packages")
    return packages


def _spec(text: str, urls: Mapping[str, str]) -> Any:
    """A match spec; the channel in ``conda-forge::numpy`` is one of ours by name, and the library wants an address."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    channel, told, rest = text.rpartition("::")
    if told and channel in urls:
        text = f"{urls[channel].rstrip('/')}::{rest}"
    try:
        return MatchSpec(text)
    except InvalidMatchSpecError as exc:
        raise bad_spec(text, str(exc).partition("\n")[0]) from None


async def _kept(request: Mapping[str, Any], reached: Reached, gateway: Any) -> list[Any]:
    """Those of an older lock's packages that the channels still have, with the same bytes.

    The library would take the others as well, as if they were there.
    """
    from rattler import Channel

    wanted = [one for one in request["prefer"] if one["name"] in reached.packages.get(one["channel"], ())]
    kept = []
    for name, url in reached.urls.items():
        mine = {one["sha256"]: one for one in wanted if one["channel"] == name}
        if mine:
            names = [one["name"] for one in mine.values()]
            found = await gateway.query(
                [Channel(url)], [request["platform"], "noarch"], names, recursive=False, channel_relations="disabled"
            )
            kept += [one for records in found for one in records if one.sha256 and one.sha256.hex() in mine]
    return kept


def _virtual(name: str, text: str) -> Any:
    """``__glibc`` -> ``2.28``; of ``__archspec`` the text is the build, by the field's custom."""
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    version, _, build = text.replace("=", " ").partition(" ")
    if name == "__archspec" and not build:
        version, build = "1", text
    return GenericVirtualPackage(PackageName(name), Version(version or "0"), BuildString(build or "0"))
