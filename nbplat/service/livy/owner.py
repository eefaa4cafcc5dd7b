"""Whose a session or batch is, and whom it is started for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.requests import Request

from nbplat.service.asker import asking
from nbplat.session.livy_request import LivyRefusal, refused

__all__ = ["Impersonation", "owner_of", "proxy_user_of"]

_LONGEST = 256


class Impersonation(NamedTuple):
    """Who may start what runs as somebody else.

    Attributes:
        on: Off: ``proxyUser`` and ``doAs`` are not heard, as in Livy.
        superusers: May do so besides admins.
    """

    on: bool = False
    superusers: frozenset[str] = frozenset()


def owner_of(request: Request) -> str:
    """Who asks, as the gate found; without a gate the user name of Basic authentication, else empty."""
    if (now := asking()) is not None:
        return now.principal.name
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        name = base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return _name(name)


def proxy_user_of(request: Request, fields: Mapping[str, Any], rules: Impersonation) -> str:
    """Whom it is started for: ``doAs`` of the query, else ``proxyUser``, else the asker; empty: impersonation is off.

    Raises:
        LivyRefusal: 403 for those who may not start things for others, 400 for what is no name.
    """
    if not rules.on:
        return ""
    asks = owner_of(request)
    wanted = request.query_params.get("doAs") or fields.get("proxyUser") or asks
    if wanted != _name(wanted):
        raise refused("proxyUser is no name of a user")
    now = asking()
    admin = now is not None and now.principal.admin
    if wanted != asks and not admin and asks not in rules.superusers:
        raise LivyRefusal(403, {"msg": f"User '{asks}' not allowed to impersonate '{wanted}'."})
    return wanted


def _name(text: str) -> str:
    return text[:_LONGEST] if text.isprintable() else ""
