"""Statements of sessions, and what they printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, to_json
from nbplat.adapters.store.sessions import read_session
from nbplat.adapters.store.statement_rows import IS_OPEN, OPEN, read_statement, statement_of
from nbplat.adapters.store.tables import CHUNK, STATEMENT
from nbplat.errors import Conflict
from nbplat.session.jobs import JOB_KIND
from nbplat.session.records import Chunk, Statement
from nbplat.session.states import ENDED, FINAL, StatementState

__all__ = ["Statements"]


# How many ids one command names.
_ROW = 500

# Built once: see `nbplat.adapters.store.database`.
_NEWEST = sa.select(sa.func.max(STATEMENT.c.id)).where(STATEMENT.c.session_id == sa.bindparam("session"))
_OPEN = sa.select(STATEMENT).where(STATEMENT.c.session_id == sa.bindparam("session"), IS_OPEN).order_by(STATEMENT.c.id)
_ADD = sa.insert(STATEMENT).returning(STATEMENT)
_CHUNKS = (
    sa.select(CHUNK.c.seq, CHUNK.c.name, CHUNK.c.text)
    .where(
        CHUNK.c.session_id == sa.bindparam("session"),
        CHUNK.c.statement_id == sa.bindparam("number"),
        CHUNK.c.seq > sa.bindparam("after"),
    )
    .order_by(CHUNK.c.seq)
    .limit(sa.bindparam("most"))
)


class Statements:
    """Statements by session and number."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add_statement(
        self, session_id: int, code: str, kind: str, options: Mapping[str, Any] | None = None
    ) -> Statement:
        with self._db.write() as write:
            session = read_session(write.connection, session_id)
            if session.state in ENDED or session.state == "shutting_down":
                raise Conflict(
                    "session.ended",
                    f"session {session_id} is {session.state}",
                    fix="start another: %session start",
                    where=str(session_id),
                )
            last = write.connection.execute(_NEWEST, {"session": session_id}).scalar()
            added = write.connection.execute(
                _ADD,
                {
                    "session_id": session_id,
                    "id": 0 if last is None else last + 1,
                    "code": code,
                    "kind": kind,
                    "options": to_json(options or {}),
                    "state": StatementState.WAITING.value,
                    "progress": 0.0,
                    "detail": "{}",
                    "started_ms": 0,
                    "completed_ms": 0,
                },
            )
            return statement_of(added.one())

    def cancelling(self, session_id: int, statement_id: int, *, sent: bool) -> Statement:
        with self._db.write() as write:
            found = read_statement(write.connection, session_id, statement_id)
            if found.state not in FINAL:
                values: dict[str, Any] = {"state": StatementState.CANCELLING.value}
                if not sent:
                    values = {"state": StatementState.CANCELLED.value, "progress": 1.0, "completed_ms": write.now_ms}
                self._set(write.connection, session_id, statement_id, **values)
            return read_statement(write.connection, session_id, statement_id)

    def end_statements(self, session_id: int, output: Mapping[str, Any]) -> None:
        open_ones = sa.update(STATEMENT).where(STATEMENT.c.session_id == session_id)
        with self._db.write() as write:
            # What was being cancelled is cancelled now: its code cannot run any more.
            write.connection.execute(
                open_ones.where(STATEMENT.c.state == StatementState.CANCELLING.value).values(
                    state=StatementState.CANCELLED.value, progress=1.0, completed_ms=write.now_ms
                )
            )
            write.connection.execute(
                open_ones.where(STATEMENT.c.state.in_(OPEN)).values(
                    state=StatementState.AVAILABLE.value,
                    output=to_json(output),
                    progress=1.0,
                    completed_ms=write.now_ms,
                )
            )

    def forget_statements(self, session_id: int, keep: int) -> list[int]:
        # The newest stays whatever `keep` says: the next id is counted from it.
        newest = sa.select(sa.func.max(STATEMENT.c.id)).where(STATEMENT.c.session_id == session_id).scalar_subquery()
        old = (STATEMENT.c.session_id == session_id) & (STATEMENT.c.id <= newest - max(keep, 1))
        with self._db.write() as write:
            query = sa.select(STATEMENT.c.id).where(old & STATEMENT.c.state.not_in(OPEN))
            found = list(write.connection.execute(query).scalars())
            for begin in range(0, len(found), _ROW):
                ids = found[begin : begin + _ROW]
                for table, column in ((CHUNK, CHUNK.c.statement_id), (STATEMENT, STATEMENT.c.id)):
                    write.connection.execute(sa.delete(table).where(table.c.session_id == session_id, column.in_(ids)))
            return found

    def statement(self, session_id: int, statement_id: int) -> Statement:
        with self._db.read() as connection:
            return read_statement(connection, session_id, statement_id)

    def statements(
        self,
        session_id: int,
        *,
        skip: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        jobs: bool = True,
    ) -> tuple[int, list[Statement]]:
        which = STATEMENT.c.session_id == session_id
        if not jobs:
            which = which & (STATEMENT.c.kind != JOB_KIND)
        order = STATEMENT.c.id.desc() if newest_first else STATEMENT.c.id
        with self._db.read() as connection:
            read_session(connection, session_id)
            total = connection.execute(sa.select(sa.func.count()).select_from(STATEMENT).where(which)).scalar_one()
            rows = connection.execute(sa.select(STATEMENT).where(which).order_by(order).offset(skip).limit(limit))
            return total, [statement_of(row) for row in rows]

    def open_statements(self, session_id: int) -> list[Statement]:
        with self._db.read() as connection:
            return [statement_of(row) for row in connection.execute(_OPEN, {"session": session_id})]

    def chunks(self, session_id: int, statement_id: int, *, after: int = 0, limit: int = 1000) -> list[Chunk]:
        which = {"session": session_id, "number": statement_id, "after": after, "most": limit}
        with self._db.read() as connection:
            return [Chunk(row.seq, row.name, row.text) for row in connection.execute(_CHUNKS, which)]

    @staticmethod
    def _set(connection: sa.Connection, session_id: int, statement_id: int, **values: Any) -> None:
        connection.execute(
            sa.update(STATEMENT)
            .where(STATEMENT.c.session_id == session_id, STATEMENT.c.id == statement_id)
            .values(**values)
        )
