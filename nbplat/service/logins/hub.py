"""Tokens of a JupyterHub: its API says whose they are (``GET /hub/api/user``)."""

from __future__ import annotations

from typing import Any

from nbplat.service.logins.asked_elsewhere import ask_json, checked_url, unreachable
from nbplat.service.logins.login import Roles, Sent
from nbplat.session.access import Principal

__all__ = ["HubTokens"]


class HubTokens:
    """Bearer tokens of a hub's users, and the same as the password of Basic authentication.

    Args:
        api_url: ``http://hub:8081/hub/api``.
        scope: A scope that a token must have, e.g. ``access:services!service=nbplat``; empty: any token of the user's.
    """

    challenge = 'Bearer realm="nbplat"'
    lasts = True

    def __init__(self, api_url: str, roles: Roles, *, scope: str = "") -> None:
        self._url = checked_url(api_url, "service.hub_api_url").rstrip("/") + "/user"
        self._roles = roles
        self._scope = scope

    def principal(self, sent: Sent) -> Principal | None:
        """Who that is; None: the hub does not know the token, or it has not the scope."""
        if sent.scheme not in ("bearer", "basic") or not sent.secret.isascii() or not sent.secret.isprintable():
            return None
        status, user = ask_json(self._url, {"Authorization": f"token {sent.secret}"}, what="JupyterHub")
        if status in (401, 403, 404):
            return None
        if status != 200:
            raise unreachable("JupyterHub", f"HTTP {status}")
        return self._principal(user)

    def _principal(self, user: dict[str, Any]) -> Principal | None:
        # A token may belong to a service of the hub, which is nobody here.
        if user.get("kind", "user") != "user" or not isinstance(user.get("name"), str):
            return None
        if self._scope and self._scope not in (user.get("scopes") or ()):
            return None
        groups = [group for group in user.get("groups") or () if isinstance(group, str)]
        return self._roles.principal(user["name"], "jupyterhub", groups, admin=user.get("admin") is True)
