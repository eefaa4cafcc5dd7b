"""Which service drives which session, where several services share one store.

Each service holds one lease, renewed while it lives. Its sessions note the service; another takes them over only once
that lease has lapsed, and only where their drivers are within its reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from nbplat.errors import Conflict
from nbplat.job import Lease

__all__ = ["Leases", "Noted", "Tenure"]


class Leases(Protocol):
    """The part of `nbplat.job.JobStore` that is used here."""

    def take_lease(self, resource: str, holder: str, *, ttl_ms: int) -> Lease: ...

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> Lease: ...

    def release_lease(self, lease: Lease) -> None: ...


class Noted(Protocol):
    """A session or batch."""

    @property
    def request(self) -> Mapping[str, Any]: ...


class Tenure:
    """One service's claim to its sessions.

    Args:
        service: Names it for as long as its state folder is there: a restart finds its own sessions at once.
        host: Drivers of another host are out of reach.
        ttl_s: After so long without a sign of life another service may take over.
    """

    def __init__(self, leases: Leases, service: str, host: str, *, ttl_s: float = 20.0) -> None:
        self.service = service
        self._leases = leases
        self._host = host
        self._ttl_ms = int(ttl_s * 1000)
        self._lease: Lease | None = None

    def marks(self) -> dict[str, str]:
        """What a session's request notes."""
        return {"service": self.service, "host": self._host}

    def hold(self) -> bool:
        """Take or renew the lease; False when it was lost, and what was held is another's now.

        Sessions of ours that nobody took are ours again with the next call.
        """
        try:
            if self._lease is None:
                self._lease = self._leases.take_lease(_name(self.service), self.service, ttl_ms=self._ttl_ms)
            else:
                self._lease = self._leases.renew_lease(self._lease, ttl_ms=self._ttl_ms)
        except Conflict:
            self._lease = None
            return False
        return True

    def drives(self, what: Noted) -> bool:
        """Whether it is this service's; one that notes nobody is."""
        return str(what.request.get("service") or self.service) == self.service

    def reaches(self, what: Noted) -> bool:
        """Whether its process is on this host."""
        return str(what.request.get("host") or self._host) == self._host

    @contextmanager
    def taking_over(self, service: str) -> Iterator[bool]:
        """Hold another service's lease meanwhile; False when that service lives."""
        try:
            lease = self._leases.take_lease(_name(service), self.service, ttl_ms=self._ttl_ms)
        except Conflict:
            yield False
            return
        try:
            yield True
        finally:
            self._leases.release_lease(lease)

    def let_go(self) -> None:
        """Give the lease back: a clean end."""
        if self._lease is not None:
            self._leases.release_lease(self._lease)
            self._lease = None


def _name(service: str) -> str:
    return f"sessions of {service}"
