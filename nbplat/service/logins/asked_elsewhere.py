"""One bounded request to the site's login service, by HTTP; never to an address that a client named."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from nbplat.errors import RemoteError, SetupError

__all__ = ["ask_json", "checked_url"]

_LIMIT_S = 5.0
_MOST_BYTES = 1 << 20


def checked_url(url: str, key: str) -> str:
    """A URL of the configuration.

    Raises:
        SetupError: it is none that one can ask.
    """
    if not url.startswith(("https://", "http://")):
        raise SetupError("service.auth", f"{key} is no http(s) address: {url[:100]!r}", fix=f"set {key}")
    return url


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the secret was meant for the address that the configuration names."""


def ask_json(
    url: str, headers: Mapping[str, str], *, form: bytes | None = None, what: str
) -> tuple[int, dict[str, Any]]:
    """Ask, and give status and JSON object; an error's body is not read.

    Args:
        form: Posted; None is a GET.
        what: Names the other side in errors.

    Raises:
        RemoteError: ``service.auth_unreachable``: no answer, or none that can be read.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    request = urllib.request.Request(url, data=form, headers=dict(headers))  # noqa: S310 - see checked_url
    try:
        with opener.open(request, timeout=_LIMIT_S) as reply:
            found = json.loads(reply.read(_MOST_BYTES))
            status = reply.status
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code, {}
    except (OSError, ValueError) as exc:
        raise unreachable(what, type(exc).__name__) from None
    if not isinstance(found, dict):
        raise unreachable(what, "no JSON object")
    return status, found


def unreachable(what: str, why: str) -> RemoteError:
    """The other side gave no usable answer."""
    return RemoteError(
        "service.auth_unreachable",
        f"{what} cannot say who you are ({why})",
        fix="try again; if it stays so, tell those who run the service",
    )
