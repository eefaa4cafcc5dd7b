"""How a child reaches channels: mirrors, credentials, the cache of repodata, offline. Imported in children only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["channel_records", "client_of", "gateway_of", "reach"]

_TIMEOUT_S = 60
_RETRIES = 2


def reach(channels: Sequence[Any], cache: str, *, offline: bool) -> dict[str, Any]:
    """The part of a request that says how to reach channels; JSON.

    Args:
        channels: `ports.Channel` each.
        cache: Folder of cached repodata.
    """
    return {
        "channels": [{"name": one.name, "url": one.url, "mirrors": list(one.mirrors)} for one in channels],
        "repodata": cache,
        "offline": offline,
    }


def client_of(request: Mapping[str, Any]) -> Any:
    """A client with retries, credentials (``RATTLER_AUTH_FILE``) and the mirrors of the request's channels."""
    from rattler import Client, Config

    # A mirror stands for its channel in full, so the channel itself comes last and only where no mirror answers.
    mirrors = {one["url"]: [*one["mirrors"], one["url"]] for one in request["channels"] if one["mirrors"]}
    lines = ["[mirrors]", *(f"{json.dumps(url)} = {json.dumps(found)}" for url, found in mirrors.items())]
    return Client.from_config(Config.from_toml("\n".join(lines)), max_retries=_RETRIES, timeout=_TIMEOUT_S)


def gateway_of(request: Mapping[str, Any]) -> Any:
    """A gateway over the request's repodata cache; offline it never asks the network."""
    from rattler import Gateway, SourceConfig

    return Gateway(
        cache_dir=request["repodata"],
        default_config=SourceConfig(cache_action="force-cache-only" if request["offline"] else "cache-or-fetch"),
        client=client_of(request),
    )


def channel_records(request: Mapping[str, Any]) -> list[Any]:
    """The library's channels, in order of priority."""
    from rattler import Channel

    return [Channel(one["url"]) for one in request["channels"]]
