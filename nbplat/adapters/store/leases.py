from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database
from nbplat.adapters.store.tables import LEASE
from nbplat.clock import iso
from nbplat.errors import Conflict
from nbplat.job import Lease

__all__ = ["Leases"]

_ONE = sa.select(LEASE).where(LEASE.c.resource == sa.bindparam("right"))
_HELD = (
    LEASE.c.resource == sa.bindparam("right"),
    LEASE.c.holder == sa.bindparam("by"),
    LEASE.c.fence == sa.bindparam("held_fence"),
    LEASE.c.released.is_(False),
)
_RENEW = sa.update(LEASE).where(*_HELD).values(until_ms=sa.bindparam("until"))
_RELEASE = sa.update(LEASE).where(*_HELD).values(released=True)


class Leases:
    """Named rights. A released row stays, so that a fence never goes back."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take_lease(self, resource: str, holder: str, *, ttl_ms: int) -> Lease:
        with self._db.write() as write:
            row = write.connection.execute(_ONE, {"right": resource}).one_or_none()
            until = write.now_ms + ttl_ms
            if row is None:
                lease = Lease(resource, holder, 1, until)
                write.connection.execute(sa.insert(LEASE).values(**_values(lease)))
            else:
                lease = _next(row, holder, write.now_ms, until)
                write.connection.execute(sa.update(LEASE).where(LEASE.c.resource == resource).values(**_values(lease)))
            write.note("lease.taken", data={"resource": resource, "holder": holder, "fence": lease.fence})
            return lease

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> Lease:
        with self._db.write() as write:
            until = write.now_ms + ttl_ms
            kept = write.connection.execute(_RENEW, {**_held(lease), "until": until}).rowcount
            if not kept:
                raise Conflict(
                    "lease.lost",
                    f"the lease on {lease.resource} is no longer with {lease.holder}",
                    fix="stop this work: another has taken it over",
                )
            return Lease(lease.resource, lease.holder, lease.fence, until, lease.taken_over)

    def release_lease(self, lease: Lease) -> None:
        with self._db.write() as write:
            if write.connection.execute(_RELEASE, _held(lease)).rowcount:
                write.note("lease.released", data={"resource": lease.resource, "holder": lease.holder})

    def leases(self) -> list[Lease]:
        with self._db.read() as connection:
            rows = connection.execute(sa.select(LEASE).where(LEASE.c.released.is_(False)).order_by(LEASE.c.resource))
            return [Lease(row.resource, row.holder, row.fence, row.until_ms, row.taken_over) for row in rows]


def _next(row: Any, holder: str, now_ms: int, until_ms: int) -> Lease:
    if row.released:
        return Lease(row.resource, holder, row.fence + 1, until_ms)
    if row.holder == holder:
        return Lease(row.resource, holder, row.fence, until_ms, row.taken_over)
    if row.until_ms > now_ms:
        raise Conflict(
            "lease.held",
            f"{row.resource} is held by {row.holder} until {iso(row.until_ms)}",
            fix="wait until it is done, or until its lease lapses",
            where=row.resource,
        )
    return Lease(row.resource, holder, row.fence + 1, until_ms, taken_over=True)


def _values(lease: Lease) -> dict[str, Any]:
    return {
        "resource": lease.resource,
        "holder": lease.holder,
        "fence": lease.fence,
        "until_ms": lease.until_ms,
        "taken_over": lease.taken_over,
        "released": False,
    }


def _held(lease: Lease) -> dict[str, Any]:
    return {"right": lease.resource, "by": lease.holder, "held_fence": lease.fence}
