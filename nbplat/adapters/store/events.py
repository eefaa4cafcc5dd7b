from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, from_json
from nbplat.adapters.store.tables import EVENT
from nbplat.job import Event

__all__ = ["Events"]

_AFTER = sa.select(EVENT).where(EVENT.c.seq > sa.bindparam("after")).order_by(EVENT.c.seq).limit(sa.bindparam("most"))
_LAST = sa.select(sa.func.max(EVENT.c.seq))
_AFTER_OF_RUN = _AFTER.where(EVENT.c.run_id == sa.bindparam("run"))


class Events:
    """The append-only log. A reader polls with the last number it saw; none lower appears later."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def emit(
        self, kind: str, *, run_id: str = "", job_id: str = "", unit_id: str = "", data: Mapping[str, Any] | None = None
    ) -> int:
        with self._db.write() as write:
            write.note(kind, run_id=run_id, job_id=job_id, unit_id=unit_id, data=data)
            return write.append()

    def events(self, *, after: int = 0, run_id: str | None = None, limit: int = 500) -> list[Event]:
        bound = {"after": after, "most": limit}
        with self._db.read() as connection:
            if run_id is None:
                rows = connection.execute(_AFTER, bound).all()
            else:
                rows = connection.execute(_AFTER_OF_RUN, {**bound, "run": run_id}).all()
        return [
            Event(
                seq=row.seq,
                at_ms=row.at_ms,
                kind=row.kind,
                run_id=row.run_id,
                job_id=row.job_id,
                unit_id=row.unit_id,
                data=from_json(row.data),
            )
            for row in rows
        ]

    def last_event(self) -> int:
        with self._db.read() as connection:
            return connection.execute(_LAST).scalar_one() or 0
