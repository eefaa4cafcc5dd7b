"""Batches in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, from_json, to_json
from nbplat.adapters.store.tables import BATCH
from nbplat.errors import Conflict, NotFound
from nbplat.session.batch import BATCH_ENDED, Batch, BatchDraft, BatchState

__all__ = ["Batches"]

_ENDED = sorted(state.value for state in BATCH_ENDED)


class Batches:
    """Batches, by id and by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add_batch(self, draft: BatchDraft) -> Batch:
        with self._db.write() as write:
            if draft.name:
                twin = write.connection.execute(
                    sa.select(BATCH.c.id).where(BATCH.c.name == draft.name, BATCH.c.state.not_in(_ENDED))
                ).scalar()
                if twin is not None:
                    raise Conflict(
                        "batch.name",
                        f"batch {twin} has the name {draft.name!r} already",
                        fix="delete it first, or take another name",
                        where=draft.name,
                    )
            added = write.connection.execute(
                sa.insert(BATCH)
                .values(
                    name=draft.name,
                    owner=draft.owner,
                    state=BatchState.NOT_STARTED.value,
                    request=to_json(draft.request),
                    conf=to_json(draft.conf),
                    process="{}",
                    created_ms=write.now_ms,
                )
                .returning(BATCH.c.id)
            ).scalar_one()
            _note(write, added, BatchState.NOT_STARTED)
            return _read(write.connection, added)

    def batch(self, batch_id: int) -> Batch:
        with self._db.read() as connection:
            return _read(connection, batch_id)

    def batch_named(self, name: str) -> Batch:
        # A living one before those that ended, then the newest.
        query = (
            sa.select(BATCH.c.id)
            .where(BATCH.c.name == name)
            .order_by(BATCH.c.state.in_(_ENDED), BATCH.c.id.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
            if found is None:
                raise _unknown(name)
            return _read(connection, found)

    def batches(self, *, skip: int = 0, limit: int = 100) -> tuple[int, list[Batch]]:
        with self._db.read() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(BATCH)).scalar_one()
            rows = connection.execute(sa.select(BATCH).order_by(BATCH.c.id).offset(skip).limit(limit))
            return total, [_record(row) for row in rows]

    def move_batch(
        self,
        batch_id: int,
        to: BatchState,
        *,
        process: Mapping[str, Any] | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> Batch:
        with self._db.write() as write:
            batch = _read(write.connection, batch_id)
            if batch.state in BATCH_ENDED or batch.state == to:
                return batch
            values: dict[str, Any] = {"state": to.value}
            if to in BATCH_ENDED:
                values["ended_ms"] = write.now_ms
            if process is not None:
                values["process"] = to_json(process)
            if reason is not None:
                values["reason"] = to_json(reason)
            write.connection.execute(sa.update(BATCH).where(BATCH.c.id == batch_id).values(**values))
            _note(write, batch_id, to)
            return _read(write.connection, batch_id)

    def remove_batch(self, batch_id: int) -> None:
        with self._db.write() as write:
            if write.connection.execute(sa.delete(BATCH).where(BATCH.c.id == batch_id)).rowcount:
                write.note("batch.removed", run_id=f"batch/{batch_id}")


def _note(write: Write, batch_id: int, state: BatchState) -> None:
    write.note("batch.moved", run_id=f"batch/{batch_id}", data={"state": state.value})


def _read(connection: sa.Connection, batch_id: int) -> Batch:
    row = connection.execute(sa.select(BATCH).where(BATCH.c.id == batch_id)).first()
    if row is None:
        raise _unknown(str(batch_id))
    return _record(row)


def _unknown(name: str) -> NotFound:
    return NotFound("batch.unknown", f"there is no batch {name}", fix="GET /batches lists those that are", where=name)


def _record(row: sa.Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        name=row.name,
        owner=row.owner,
        state=BatchState(row.state),
        request=from_json(row.request),
        conf=from_json(row.conf),
        process=from_json(row.process),
        created_ms=row.created_ms,
        ended_ms=row.ended_ms,
        reason=from_json(row.reason),
    )
