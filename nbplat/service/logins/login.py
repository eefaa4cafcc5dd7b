"""What a way to log in is, and which of those who log in are admins."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from nbplat.session.access import Principal

__all__ = ["Login", "Roles", "Sent"]

_LONGEST = 256


class Sent(NamedTuple):
    """What a request's Authorization header holds.

    Attributes:
        scheme: ``bearer``, ``basic``, ``negotiate`` or what else was sent, in small letters.
        user: Of Basic authentication; else empty.
        secret: Password, token or ticket.
    """

    scheme: str
    user: str
    secret: str


class Login(Protocol):
    """One way to log in."""

    @property
    def challenge(self) -> str:
        """What a 401 says of it in ``WWW-Authenticate``."""

    @property
    def lasts(self) -> bool:
        """Whether the same header means the same for a while; False: it is used once."""

    def principal(self, sent: Sent) -> Principal | None:
        """Who that is; None: not by this way. May take a while.

        Raises:
            NbplatError: it cannot be found out now.
        """


class Roles(NamedTuple):
    """Who is an admin.

    Attributes:
        admins: Names, and ``@group`` for everybody of a group.
    """

    admins: frozenset[str] = frozenset()

    def principal(self, name: str, how: str, groups: Collection[str] = (), *, admin: bool = False) -> Principal | None:
        """Who `name` is here; None: it cannot be a user's name."""
        if not name or len(name) > _LONGEST or not name.isprintable():
            return None
        named = {name, *(f"@{group}" for group in groups)}
        return Principal(name, admin or bool(named & self.admins), how, frozenset(groups))
