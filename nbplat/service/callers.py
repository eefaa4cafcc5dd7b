"""From an Authorization header to who asks: the service's token first, then the site's ways to log in."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence

from nbplat.clock import Clock, SystemClock
from nbplat.service.logins.login import Login, Sent
from nbplat.session.access import Principal

__all__ = ["Callers", "read_header"]

_MOST = 2000
_REFUSED_S = 5.0
_LONGEST = 256


def read_header(authorization: str) -> Sent | None:
    """What a header holds; None: nothing that can be read."""
    scheme, _, value = authorization.partition(" ")
    scheme, value = scheme.lower(), value.strip()
    if not value:
        return None
    if scheme != "basic":
        return Sent(scheme, "", value)
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Sent("basic", user[:_LONGEST] if user.isprintable() else "", password)


class Callers:
    """Finds out who sends requests; safe between threads.

    Args:
        token: The service's own. Whoever holds it is an admin: it lies in a file that only the service's account reads.
        logins: Asked in order; none: the token is the only way, and everybody who is let in sees everything.
        keep_s: How long what a login said holds; 0: never.
    """

    def __init__(
        self, token: str, logins: Sequence[Login] = (), *, keep_s: float = 60.0, clock: Clock | None = None
    ) -> None:
        self._token = token.encode()
        self._logins = logins
        self._keep_s = keep_s
        self._clock = clock or SystemClock()
        # Headers are kept as marks that lead back to none.
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    @property
    def challenges(self) -> list[str]:
        """What a 401 offers."""
        return list(dict.fromkeys(['Basic realm="nbplat"', *(login.challenge for login in self._logins)]))

    @property
    def team(self) -> bool:
        """Whether several people are told apart here."""
        return bool(self._logins)

    def at_once(self, authorization: str) -> Principal | None:
        """Who that is, if it can be said without asking anybody."""
        sent = read_header(authorization)
        if sent is None:
            return None
        if sent.scheme in ("bearer", "basic") and hmac.compare_digest(sent.secret.encode(), self._token):
            return Principal(sent.user, admin=True, how="token")
        found = self._kept(authorization)
        return found[1] if found else None

    def asked(self, authorization: str) -> Principal | None:
        """Who that is; None: nobody who may come in. May take seconds.

        Raises:
            NbplatError: a login cannot say it now.
        """
        sent = read_header(authorization)
        if sent is None or not self._logins:
            return None
        if found := self._kept(authorization):
            return found[1]
        principal, lasts = self._ask(sent)
        if lasts:
            self._keep(authorization, principal)
        return principal

    def _ask(self, sent: Sent) -> tuple[Principal | None, bool]:
        for login in self._logins:
            if (principal := login.principal(sent)) is not None:
                return principal, login.lasts
        return None, all(login.lasts for login in self._logins)

    def _kept(self, authorization: str) -> tuple[float, Principal | None] | None:
        with self._lock:
            found = self._known.get(self._mark(authorization))
        return found if found and found[0] > self._clock.monotonic_s() else None

    def _keep(self, authorization: str, principal: Principal | None) -> None:
        keep_s = self._keep_s if principal is not None else min(_REFUSED_S, self._keep_s)
        if keep_s <= 0:
            return
        with self._lock:
            mark = self._mark(authorization)
            self._known[mark] = self._clock.monotonic_s() + keep_s, principal
            self._known.move_to_end(mark)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)

    def _mark(self, authorization: str) -> bytes:
        return hmac.digest(self._key, authorization.encode(), "sha256")
