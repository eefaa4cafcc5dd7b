"""The solve itself, in the child."""

from __future__ import annotations

import asyncio
from typing import Any

from nbplat.adapters.conda.child_main import Tell
from nbplat.adapters.conda.network import channel_records, gateway_of
from nbplat.adapters.conda.records import from_record, to_record

__all__ = ["solve"]


def solve(request: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    """The packages that satisfy a request, as JSON, in order of name."""
    return asyncio.run(_solve(request, tell))


async def _solve(request: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    import rattler

    specs = [rattler.MatchSpec(text) for text in request["specs"]]
    urls = {one["name"]: one["url"] for one in request["channels"]}
    tell("solve", what=request["platform"])
    found = await rattler.solve(
        channel_records(request),
        specs,
        gateway=gateway_of(request),
        platforms=[request["platform"], "noarch"],
        locked_packages=[to_record(one, urls) for one in request["prefer"]],
        virtual_packages=[_virtual(name, text) for name, text in sorted(request["virtual"].items())],
        channel_priority=rattler.ChannelPriority.Strict,
    )
    return sorted((from_record(one, request["channels"]) for one in found), key=lambda one: str(one["name"]))


def _virtual(name: str, text: str) -> Any:
    """``__glibc`` -> ``2.28``; of ``__archspec`` the text is the build, by the field's custom."""
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    version, build = ("1", text) if name == "__archspec" else (text or "0", "0")
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
