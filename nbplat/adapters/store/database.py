"""Transactions: one writer at a time on either database, and the event log that each write appends to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc

from nbplat.adapters.store.failures import translate
from nbplat.adapters.store.tables import EVENT
from nbplat.clock import Clock

__all__ = ["Database", "Write", "from_json", "to_json"]

WRITE_OPTION = "nbplat_write"
"""Execution option that makes a transaction on SQLite begin with the write lock."""

_WRITER_LOCK = 0x6E62706C6174  # "nbplat"

# Here and in the files beside: the statements of frequent calls are built once, at import. To build one
# costs more CPU than SQLite takes to run it, and its cache key is then computed once too.
_WAIT_FOR_WRITERS = sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK))
_SERVER_NOW = sa.text("SELECT extract(epoch FROM clock_timestamp()) * 1000")
_APPEND = sa.insert(EVENT)
_APPEND_LAST = _APPEND.returning(EVENT.c.seq)


def to_json(value: Mapping[str, Any] | None) -> str | None:
    """JSON text of a record, None of None; NaN raises ValueError, since no client could read it back."""
    return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))


def from_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


@dataclass(slots=True)
class Write:
    """An open write transaction."""

    connection: sa.Connection
    now_ms: int
    notes: list[dict[str, Any]] = field(default_factory=list)

    def note(
        self, kind: str, *, run_id: str = "", job_id: str = "", unit_id: str = "", data: Mapping[str, Any] | None = None
    ) -> None:
        """Add an event to what this transaction appends when it commits."""
        self.notes.append(
            {
                "at_ms": self.now_ms,
                "kind": kind,
                "run_id": run_id,
                "job_id": job_id,
                "unit_id": unit_id,
                "data": to_json(data or {}),
            }
        )

    def append(self) -> int:
        """Insert the noted events; returns the last sequence number, 0 when there were none."""
        if not self.notes:
            return 0
        if len(self.notes) > 1:
            self.connection.execute(_APPEND, self.notes[:-1])
        last = self.connection.execute(_APPEND_LAST, self.notes[-1:]).scalar_one()
        self.notes.clear()
        return int(last)


class Database:
    """An engine with our rules on it.

    Every write takes one lock first (SQLite's BEGIN IMMEDIATE, an advisory lock on PostgreSQL). So
    a check and the change that rests on it cannot be split, both databases behave alike, and an
    event's number is given out while no other transaction can commit a higher one before it.
    A ledger's writes are small; a team that outgrows one writer has outgrown one ledger.

    Args:
        place: What an error names: the file, or the URL without its password.
    """

    def __init__(self, engine: sa.Engine, clock: Clock, *, place: str) -> None:
        self.engine = engine
        self.clock = clock
        self.place = place
        self.sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view."""
        with self._ours(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Write]:
        """One transaction: all of it with its events, or nothing."""
        with self._ours(), self.engine.connect() as connection:
            connection = connection.execution_options(**{WRITE_OPTION: True})
            with connection.begin():
                if not self.sqlite:
                    connection.execute(_WAIT_FOR_WRITERS)
                # The time is read under the lock: waiting for it must not make a lease look longer than it is.
                write = Write(connection, self.clock.now_ms())
                yield write
                write.append()

    def server_now_ms(self) -> int:
        """The time by the database's own clock."""
        if self.sqlite:
            return self.clock.now_ms()
        with self.read() as connection:
            return int(connection.execute(_SERVER_NOW).scalar_one())

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except (sa_exc.OperationalError, sa_exc.InternalError, sa_exc.DatabaseError, sa_exc.TimeoutError) as exc:
            if isinstance(exc, (sa_exc.IntegrityError, sa_exc.ProgrammingError, sa_exc.DataError)):
                raise  # a statement of ours is wrong: a bug, not the machine
            raise translate(exc, place=self.place, sqlite=self.sqlite) from exc
