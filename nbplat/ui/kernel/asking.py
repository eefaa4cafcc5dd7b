"""Quick questions at the cursor, to what runs already: a key press starts nothing and waits for nobody."""

from __future__ import annotations

from typing import Any

from nbplat.config import Config, load_config
from nbplat.errors import NbplatError
from nbplat.ui import session_here as here

__all__ = ["LIMIT_S", "Asked", "asked_session", "running_client"]

LIMIT_S = 0.5
"""How long a person waits for an answer at the cursor."""


class Asked:
    """The session that this notebook's cells go to, asked at the cursor.

    Args:
        client: Of a running service; it never starts one.
        session: Its id.
    """

    def __init__(self, client: Any, session: int) -> None:
        self._client = client
        self._session = session

    def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """``matches``, and ``start`` and ``end`` of what they take the place of; none when no answer comes in time."""
        none = {"matches": [], "start": cursor, "end": cursor}
        return self._ask("complete", code, cursor) or none

    def inspect(self, code: str, cursor: int) -> str:
        """What the name at the cursor is; empty when it is unknown there, or the answer takes too long."""
        return str((self._ask("inspect", code, cursor) or {}).get("text", ""))

    def _ask(self, what: str, code: str, cursor: int) -> dict[str, Any] | None:
        body = {"code": code, "cursor": cursor}
        try:
            return dict(self._client.post(f"/api/v1/sessions/{self._session}/{what}", body, timeout_s=LIMIT_S))
        except NbplatError:
            return None


def asked_session(config: Config | None = None) -> Asked | None:
    """The session of this kernel's cells; None when it has none, or no service runs."""
    try:
        config = config or load_config()
    except NbplatError:
        return None
    session = here.attached(config.service_url or str(config.home))
    if session is None:
        return None
    client = running_client(config)
    return None if client is None else Asked(client, session)


def running_client(config: Config) -> Any:
    """A client of the service that runs already (`ServiceClient`); None when there is none."""
    from nbplat.service.discovery import read_info, service_lock
    from nbplat.service.lock import holder_of
    from nbplat.ui.client import ServiceClient, team_client

    if config.service_url:
        try:
            return team_client(config)
        except NbplatError:
            return None
    if holder_of(service_lock(config)) is None:
        return None
    info = read_info(config)
    # Without its configuration: it would start a service that has died meanwhile.
    return None if info is None else ServiceClient(info["url"], info["token"])
