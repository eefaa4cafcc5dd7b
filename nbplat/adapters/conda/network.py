"""How a child reaches channels: mirrors, credentials, the cache of repodata, offline."""

from __future__ import annotations

import asyncio
import http.client
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.adapters.conda.failures import unreachable
from nbplat.environment.ports import Channel

__all__ = ["Reached", "client_of", "gateway_of", "reach", "reach_channels"]

# The library counts a whole download, so these only end what would never end; silence is noticed sooner.
_PACKAGE_S = 3600
_REPODATA_S = 600
_SILENCE_S = 20.0
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


def client_of(*, timeout_s: int = _PACKAGE_S) -> Any:
    """A client with retries, and with the credentials that the child was started with."""
    from rattler import Client

    return Client.default_client(max_retries=_RETRIES, timeout=timeout_s)


def gateway_of(request: Mapping[str, Any]) -> Any:
    """A gateway over the request's repodata cache; offline it never asks the network."""
    from rattler import Gateway, SourceConfig

    return Gateway(
        cache_dir=request["repodata"],
        default_config=SourceConfig(cache_action="force-cache-only" if request["offline"] else "cache-or-fetch"),
        client=client_of(timeout_s=_REPODATA_S),
    )


async def reach_channels(request: Mapping[str, Any], gateway: Any, platform: str) -> Reached:
    """Read the names of every channel's packages, from the first of its mirrors and itself that answers.

    Raises:
        RemoteError: ``env.channel``: one or more answer nowhere; all of them are named.
    """
    asked = [_first_that_answers(one, gateway, platform, offline=request["offline"]) for one in request["channels"]]
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
    channel: Mapping[str, Any], gateway: Any, platform: str, *, offline: bool
) -> tuple[str, frozenset[str]] | list[tuple[str, str]]:
    """Its address and names, or every address with why it failed."""
    from rattler.exceptions import GatewayError

    failed = []
    for url in (*channel["mirrors"], channel["url"]):
        try:
            return url, await _names(url, gateway, platform, watched=url.startswith("http") and not offline)
        except (GatewayError, TimeoutError) as exc:
            failed.append((url, str(exc)))
    return failed


async def _names(url: str, gateway: Any, platform: str, *, watched: bool) -> frozenset[str]:
    """Names of a channel's packages; with `watched` a server that says nothing at all is given up soon."""
    from rattler import Channel as Address

    asked = asyncio.ensure_future(gateway.names([Address(url)], [platform, "noarch"]))
    # Beside it, not before it: a server that answers costs no waiting.
    silent = asyncio.ensure_future(asyncio.to_thread(_is_silent, url) if watched else _never())
    await asyncio.wait({asked, silent}, return_when=asyncio.FIRST_COMPLETED)
    if not asked.done() and not silent.result():
        await asyncio.wait({asked})
    if not asked.done():
        asked.cancel()
        raise TimeoutError(f"no answer within {_SILENCE_S:g} s")
    silent.cancel()
    return frozenset(one.normalized for one in asked.result())


def _is_silent(url: str) -> bool:
    """True when a server says nothing for a while; whatever it says, a refusal too, is an answer."""
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/noarch/repodata.json", method="HEAD")  # noqa: S310 - http
        with urllib.request.urlopen(request, timeout=_SILENCE_S):  # noqa: S310 - callers ask for http addresses only
            return False
    except TimeoutError:
        return True
    except OSError as exc:
        return isinstance(getattr(exc, "reason", None), TimeoutError)
    except (ValueError, http.client.HTTPException):
        return False


async def _never() -> bool:
    return False
