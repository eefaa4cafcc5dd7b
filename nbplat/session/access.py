"""Who asks, and what they may do with a session or batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from nbplat.errors import RequestError

__all__ = ["EVERYBODY", "Need", "Owned", "Principal", "may", "read_access"]

EVERYBODY = "*"
_LONGEST = 256
_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        name: Empty: whoever holds the service's token and gives no name.
        admin: May do everything with everybody's.
        how: ``token``, ``basic``, ``jupyterhub``, ``oidc``, ``kerberos``.
        groups: Where the site's login names them.
    """

    name: str
    admin: bool
    how: str
    groups: frozenset[str] = frozenset()


class Need(IntEnum):
    """What a request needs; each includes those before it."""

    VIEW = 1
    """Look: state, statements, output, log."""
    USE = 2
    """Run, cancel, complete, upload."""
    OWN = 3
    """End it, and let others in."""


class Owned(Protocol):
    """A session or batch."""

    @property
    def owner(self) -> str: ...

    @property
    def request(self) -> Mapping[str, Any]: ...


def may(asks: Principal, need: Need, what: Owned) -> bool:
    """Whether somebody may.

    Its owner may do all, as may the user that it was started for and an admin. Others may what its ``access`` says.
    """
    if asks.admin:
        return True
    if not asks.name:
        return False
    if asks.name in (what.owner, getattr(what, "proxy_user", "")):
        return True
    access = what.request.get("access") or {}
    enough = {Need.VIEW: ("view", "use"), Need.USE: ("use",)}.get(need, ())
    return any({EVERYBODY, asks.name} & set(access.get(level, ())) for level in enough)


def read_access(sent: Mapping[str, Any]) -> dict[str, list[str]]:
    """Check who is let in: ``view`` and ``use``, each a list of names or ``*``.

    Raises:
        RequestError: ``session.access``.
    """
    found = {}
    for level, names in sent.items():
        if level not in ("view", "use"):
            raise _wrong(level, "access has view and use")
        if isinstance(names, str) or not isinstance(names, Sequence) or len(names) > _NAMES:
            raise _wrong(level, f"give a list of up to {_NAMES} names, or ['{EVERYBODY}']")
        for name in names:
            if not isinstance(name, str) or not name or len(name) > _LONGEST or not name.isprintable():
                raise _wrong(f"{level} {str(name)[:50]!r}", "give names of users")
        found[level] = sorted(set(names))
    return found


def _wrong(what: str, fix: str) -> RequestError:
    return RequestError("session.access", f"access is not understood: {what}", fix=fix, where="access")
