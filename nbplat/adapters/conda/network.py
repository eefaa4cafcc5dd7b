"""How a child reaches channels: mirrors, credentials, the cache of repodata, offline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.adapters.conda.failures import unreachable
from nbplat.environment.ports import Channel

__all__ = ["Reached", "client_of", "gateway_of", "reach", "reach_channels"]

_TIMEOUT_S = 60
_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Reached:
    """Channels that answered.

    Attributes:
        urls: Address by name of channel; that of a mirror where one answered first.
        packages: Names of the packages of each, by name of channel.
    """

    urls: Mapping[str, str]
    packages: Mapping[str, frozenset[str]]


def reach(channels: Sequence[Channel], cache: str, *, offline: bool) -> dict[str, Any]:
    """The part of a request that says how to reach channels; JSON.

    Args:
        channels: In order of priority.
        cache: Folder of cached repodata.
    """
    return {
        "channels": [{"name": one.name, "url": one.url, "mirrors": list(one.mirrors)} for one in channels],
        "repodata": cache,
        "offline": offline,
    }


def client_of() -> Any:
    """A client with retries, and with the credentials that the child was started with."""
    from rattler import Client

    return Client.default_client(max_retries=_RETRIES, timeout=_TIMEOUT_S)


def gateway_of(request: Mapping[str, Any]) -> Any:
    """A gateway over the request's repodata cache; offline it never asks the network."""
    from rattler import Gateway, SourceConfig

    return Gateway(
        cache_dir=request["repodata"],
        default_config=SourceConfig(cache_action="force-cache-only" if request["offline"] else "cache-or-fetch"),
        client=client_of(),
    )


async def reach_channels(request: Mapping[str, Any], gateway: Any, platform: str) -> Reached:
    """Read the names of every channel's packages, from the first of its mirrors and itself that answers.

    Raises:
        RemoteError: ``env.channel``: one or more answer nowhere; all of them are named.
    """
    asked = [_first_that_answers(one, gateway, platform) for one in request["channels"]]
    answers = await asyncio.gather(*asked)
    failed = {
        one["name"]: found for one, found in zip(request["channels"], answers, strict=True) if isinstance(found, list)
    }
    if failed:
        raise unreachable(failed, platform, offline=request["offline"])
    names = [one["name"] for one in request["channels"]]
    found = [answer for answer in answers if isinstance(answer, tuple)]
    return Reached(
        {name: url for name, (url, _) in zip(names, found, strict=True)},
        {name: packages for name, (_, packages) in zip(names, found, strict=True)},
    )


async def _first_that_answers(
    channel: Mapping[str, Any], gateway: Any, platform: str
) -> tuple[str, frozenset[str]] | list[tuple[str, str]]:
    """Its address and names, or every address with why it failed."""
    from rattler import Channel as Address
    from rattler.exceptions import GatewayError

    failed = []
    for url in (*channel["mirrors"], channel["url"]):
        try:
            names = await gateway.names([Address(url)], [platform, "noarch"])
            return url, frozenset(one.normalized for one in names)
        except GatewayError as exc:
            failed.append((url, str(exc)))
    return failed
