"""The store as one object: each file beside this one holds the methods of one noun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbplat.adapters.store.batches import Batches
from nbplat.adapters.store.events import Events
from nbplat.adapters.store.jobs import Jobs
from nbplat.adapters.store.leases import Leases
from nbplat.adapters.store.runs import Runs
from nbplat.adapters.store.sessions import Sessions
from nbplat.adapters.store.statements import Statements
from nbplat.adapters.store.units import Units

if TYPE_CHECKING:
    from nbplat.job import JobStore
    from nbplat.session.batch import BatchStore
    from nbplat.session.ports import SessionStore

__all__ = ["SqlJobStore"]


class SqlJobStore(Runs, Jobs, Units, Leases, Events, Sessions, Statements, Batches):
    """`JobStore`, `SessionStore` and `BatchStore` on SQL; safe between threads."""

    def database_now_ms(self) -> int:
        """The time by the clock of the machine that the database is on."""
        return self._db.server_now_ms()

    def close(self) -> None:
        self._db.close()


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[JobStore] = SqlJobStore
    _KEEPS_SESSIONS: type[SessionStore] = SqlJobStore
    _KEEPS_BATCHES: type[BatchStore] = SqlJobStore
