"""Which hosts a service for several people fetches archives from: a client's URL must not lead into its network."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from nbplat.errors import Forbidden

__all__ = ["check_pull"]


def check_pull(uri: str, hosts: Collection[str], *, team: bool) -> None:
    """Return when an archive may be fetched.

    Args:
        hosts: Names, with a port where it is not the scheme's own.
        team: Whether the service tells several people apart; one that does not is its only user's own.

    Raises:
        Forbidden: ``env.pull_host``.
    """
    url = urlsplit(uri)
    if not team or url.scheme.lower() not in ("http", "https"):
        return
    if url.username is None and url.netloc.lower() in {host.lower() for host in hosts}:
        return
    raise Forbidden(
        "env.pull_host",
        f"this service fetches nothing from {url.hostname or 'nowhere'}",
        fix="push the archive to a store that it reads, or have the host named in env.pull_hosts",
        where="uri",
    )
