"""The solve itself, in the child."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.adapters.conda.child_main import Tell
from nbplat.adapters.conda.failures import bad_spec, missed, unsatisfiable
from nbplat.adapters.conda.network import Reached, gateway_of, reach_channels
from nbplat.adapters.conda.records import from_record

__all__ = ["solve"]

_SHOWN = 5


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
    count = len(request["channels"])
    tell(
        "channels",
        0,
        count,
        unit="channels",
        what=f"{platform}: {', '.join(one['name'] for one in request['channels'])}",
    )
    reached = await reach_channels(request, gateway, platform)
    tell("channels", count, count, unit="channels", what=platform)
    tell("solve", 0, 1, unit="solve", what=f"{platform}: {len(request['specs'])} demands")
    try:
        found = await rattler.solve(
            [rattler.Channel(reached.urls[one["name"]]) for one in request["channels"]],
            [*_by_name(request["specs"]), *(_spec(text, reached.urls) for text in request["specs"])],
            gateway=gateway,
            platforms=[platform, "noarch"],
            locked_packages=await _kept(request, reached, gateway),
            virtual_packages=[_virtual(name, text) for name, text in sorted(request["virtual"].items())],
            channel_priority=rattler.ChannelPriority.Strict,
        )
    except SolverError as exc:
        known = frozenset().union(*reached.packages.values())
        versions = {name: await _versions(name, request, reached, gateway) for name in missed(str(exc), known)}
        raise unsatisfiable(str(exc), request, reached.urls, known, versions) from None
    packages = sorted((from_record(one, reached.urls) for one in found), key=lambda one: str(one["name"]))
    tell("solve", 1, 1, unit="solve", what=f"{platform}: {len(packages)} packages")
    return packages


def _by_name(specs: Sequence[str]) -> list[Any]:
    """A demand for the name alone beside each demand of no channel of its own.

    The library leaves out records that do not meet a demand before it looks at priorities: a package would come from
    a lower channel as soon as the higher one has no version that fits, which strict priority forbids.
    """
    from rattler import MatchSpec

    return [MatchSpec(re.split(r"[\s=<>!~\[]", text, maxsplit=1)[0]) for text in specs if "::" not in text]


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


async def _versions(name: str, request: Mapping[str, Any], reached: Reached, gateway: Any) -> list[str]:
    """The newest versions of a package, whatever the channel."""
    from rattler import Channel

    found = await gateway.query(
        [Channel(url) for url in reached.urls.values()],
        [request["platform"], "noarch"],
        [name],
        recursive=False,
        channel_relations="disabled",
    )
    versions = sorted({one.version for records in found for one in records}, reverse=True)
    return [str(one) for one in versions[:_SHOWN]]


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
