"""Who asks: the user name of Basic authentication. The gate has checked the token that came as its password."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

__all__ = ["owner_of"]

_LONGEST = 256


def owner_of(request: Request) -> str:
    """The name; empty when none was sent, as with a bearer token."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        name = base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return name[:_LONGEST] if name.isprintable() else ""
