"""Access tokens of an OpenID provider, looked up by introspection (RFC 7662)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from nbplat.errors import SetupError
from nbplat.service.logins.asked_elsewhere import ask_json, checked_url, unreachable
from nbplat.service.logins.login import Roles, Sent
from nbplat.session.access import Principal

__all__ = ["OidcTokens"]


class OidcTokens:
    """Bearer tokens, and the same as the password of Basic authentication.

    Args:
        url: Of the introspection endpoint.
        secret: Of `client`; asked for at each look-up, so that it may be changed.
        claim: Names the user: ``username``, ``preferred_username``, ``sub``, …
        audience: Must be among the token's ``aud``; empty: any.
        scope: Must be among the token's scopes; empty: any.
        now_s: Seconds since the epoch.
    """

    challenge = 'Bearer realm="nbplat"'
    lasts = True

    def __init__(
        self,
        url: str,
        client: str,
        secret: Callable[[], str],
        roles: Roles,
        *,
        now_s: Callable[[], float],
        claim: str = "username",
        audience: str = "",
        scope: str = "",
    ) -> None:
        self._url = checked_url(url, "service.oidc_introspection_url")
        self._client = client
        self._secret = secret
        self._roles = roles
        self._now_s = now_s
        self._claim = claim
        self._audience = audience
        self._scope = scope

    def principal(self, sent: Sent) -> Principal | None:
        """Who that is; None: the token is not active, not for us, or names nobody."""
        if sent.scheme not in ("bearer", "basic") or not sent.secret:
            return None
        form = urlencode({"token": sent.secret, "token_type_hint": "access_token"}).encode()
        # RFC 6749, 2.3.1: name and secret are form-encoded before they are joined.
        login = f"{quote_plus(self._client)}:{quote_plus(self._secret())}".encode()
        headers = {
            "Authorization": "Basic " + base64.b64encode(login).decode(),
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        status, claims = ask_json(self._url, headers, form=form, what="the OpenID provider")
        if status in (401, 403):
            raise SetupError(
                "service.auth",
                f"the OpenID provider refuses this service's own login (HTTP {status})",
                fix="set service.oidc_client_id and service.oidc_client_secret",
            )
        if status != 200:
            raise unreachable("the OpenID provider", f"HTTP {status}")
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        now = self._now_s()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if claims.get("active") is not True or not isinstance(claims.get(self._claim), str):
            return None
        if (isinstance(expires, int | float) and expires <= now) or (isinstance(begins, int | float) and begins > now):
            return None
        if self._audience and self._audience not in _texts(claims.get("aud")):
            return None
        if self._scope and self._scope not in str(claims.get("scope", "")).split():
            return None
        return self._roles.principal(str(claims[self._claim]), "oidc", _texts(claims.get("groups")))


def _texts(claim: Any) -> list[str]:
    """One text or a list of them."""
    found = claim if isinstance(claim, list) else [claim]
    return [text for text in found if isinstance(text, str)]
