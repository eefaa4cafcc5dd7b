"""Who asks now, and whether they may: set by the gate, read wherever a session or batch is found.

A variable of the request's context and not an argument, so that a route which finds a session has checked the asker
whether its author thought of it or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from nbplat.session.access import Need, Owned, Principal, may

__all__ = ["Asking", "Refused", "asker", "asking", "asking_as", "checked", "owner_said", "sees_all", "visible"]

_READS = ("GET", "HEAD", "OPTIONS")
Found = TypeVar("Found", bound=Owned)


@dataclass(frozen=True, slots=True)
class Asking:
    """A request: who sent it, and what its method needs."""

    principal: Principal
    need: Need


_ASKING: ContextVar[Asking | None] = ContextVar("nbplat_asking", default=None)
# An app without a gate (in process, in tests) has one user.
_NOBODY_ELSE = Asking(Principal("", admin=True, how="in process"), Need.OWN)


class Refused(Exception):
    """The asker may not.

    Attributes:
        seen: Whether they may look at it at all; otherwise it is as if it were not there.
    """

    def __init__(self, *, seen: bool) -> None:
        super().__init__(seen)
        self.seen = seen


def asking() -> Asking | None:
    """The request that is answered now; None where no gate has looked at it."""
    return _ASKING.get()


def owner_said(said: str) -> str:
    """Whose a piece of work is: the asker's, but for admins, who may speak for others; `said` where nobody is known."""
    who = asker()
    return (said or who.name) if who.admin else who.name


def asker() -> Principal:
    """Who asks; an admin without a name where no gate has looked."""
    return (_ASKING.get() or _NOBODY_ELSE).principal


@contextmanager
def asking_as(principal: Principal, method: str) -> Iterator[None]:
    """What runs inside is asked for by `principal`."""
    mark = _ASKING.set(Asking(principal, Need.VIEW if method in _READS else Need.USE))
    try:
        yield
    finally:
        _ASKING.reset(mark)


def checked(what: Found, need: Need | None = None) -> Found:
    """Return what the asker may.

    Args:
        need: None: looking for a method that reads, using for any other.

    Raises:
        Refused: they may not.
    """
    now = _ASKING.get() or _NOBODY_ELSE
    wanted = now.need if need is None else need
    if not may(now.principal, wanted, what):
        raise Refused(seen=may(now.principal, Need.VIEW, what))
    return what


def visible(what: Owned) -> bool:
    """Whether the asker may look at it."""
    return may((_ASKING.get() or _NOBODY_ELSE).principal, Need.VIEW, what)


def sees_all() -> bool:
    """Whether nothing has to be left out of lists."""
    return (_ASKING.get() or _NOBODY_ELSE).principal.admin
