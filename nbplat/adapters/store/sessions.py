"""Sessions in the store: rows that a service which was killed finds as it left them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, from_json, to_json
from nbplat.adapters.store.statement_rows import apply_to_statements
from nbplat.adapters.store.tables import CHUNK, SESSION, STATEMENT
from nbplat.errors import Conflict, NotFound
from nbplat.session.caps import Caps
from nbplat.session.changes import Changes
from nbplat.session.records import Session, SessionDraft
from nbplat.session.states import ENDED, SessionState, may_become

__all__ = ["Sessions", "read_session"]

_ENDED = sorted(state.value for state in ENDED)

# Built once: see `nbplat.adapters.store.database`.
_ONE = sa.select(SESSION).where(SESSION.c.id == sa.bindparam("session"))
_UPDATE = sa.update(SESSION).where(SESSION.c.id == sa.bindparam("session"))


class Sessions:
    """Sessions, by id and by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add_session(self, draft: SessionDraft, caps: Caps | None = None) -> Session:
        with self._db.write() as write:
            if caps is not None:
                _check_caps(write, draft.owner, caps)
            if draft.name:
                twin = write.connection.execute(
                    sa.select(SESSION.c.id).where(SESSION.c.name == draft.name, SESSION.c.state.not_in(_ENDED))
                ).scalar()
                if twin is not None:
                    raise Conflict(
                        "session.name",
                        f"session {twin} has the name {draft.name!r} already",
                        fix="attach to it, stop it first, or take another name",
                        where=draft.name,
                    )
            added = write.connection.execute(
                sa.insert(SESSION)
                .values(
                    kind=draft.kind,
                    name=draft.name,
                    owner=draft.owner,
                    proxy_user=draft.proxy_user,
                    state=SessionState.NOT_STARTED.value,
                    request=to_json(draft.request),
                    conf=to_json(draft.conf),
                    driver="{}",
                    app="{}",
                    last_seq=0,
                    created_ms=write.now_ms,
                    seen_ms=write.now_ms,
                )
                .returning(SESSION.c.id)
            ).scalar_one()
            _note(write, added, SessionState.NOT_STARTED)
            return read_session(write.connection, added)

    def session(self, session_id: int) -> Session:
        with self._db.read() as connection:
            return read_session(connection, session_id)

    def session_named(self, name: str) -> Session:
        # A living one before those that ended, then the newest.
        query = (
            sa.select(SESSION.c.id)
            .where(SESSION.c.name == name)
            .order_by(SESSION.c.state.in_(_ENDED), SESSION.c.id.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
            if found is None:
                raise _unknown(name)
            return read_session(connection, found)

    def sessions(
        self, *, skip: int = 0, limit: int = 100, states: Collection[SessionState] | None = None
    ) -> tuple[int, list[Session]]:
        which = sa.true() if states is None else SESSION.c.state.in_([state.value for state in states])
        with self._db.read() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(SESSION).where(which)).scalar_one()
            rows = connection.execute(sa.select(SESSION).where(which).order_by(SESSION.c.id).offset(skip).limit(limit))
            return total, [_record(row) for row in rows]

    def set_driver(self, session_id: int, driver: Mapping[str, Any]) -> None:
        with self._db.write() as write:
            read_session(write.connection, session_id)
            _update(write, session_id, driver=to_json(driver))

    def move_session(self, session_id: int, to: SessionState, *, reason: Mapping[str, Any] | None = None) -> Session:
        with self._db.write() as write:
            _move(write, read_session(write.connection, session_id), to, reason)
            return read_session(write.connection, session_id)

    def amend(self, session_id: int, values: Mapping[str, Any]) -> Session:
        with self._db.write() as write:
            session = read_session(write.connection, session_id)
            _update(write, session_id, request=to_json({**session.request, **values}))
            return read_session(write.connection, session_id)

    def touch(self, session_id: int) -> None:
        with self._db.write() as write:
            _update(write, session_id, seen_ms=write.now_ms)

    def remove_session(self, session_id: int) -> None:
        with self._db.write() as write:
            for table in (CHUNK, STATEMENT):
                write.connection.execute(sa.delete(table).where(table.c.session_id == session_id))
            if write.connection.execute(sa.delete(SESSION).where(SESSION.c.id == session_id)).rowcount:
                write.note("session.removed", run_id=_name(session_id))

    def apply(self, session_id: int, changes: Changes) -> None:
        with self._db.write() as write:
            session = read_session(write.connection, session_id)
            if changes.last_seq <= session.last_seq:
                return
            values: dict[str, Any] = {"last_seq": changes.last_seq}
            if changes.app:
                values["app"] = to_json({**session.app, **changes.app})
            if changes.state is not None:
                values |= _moved(write, session, changes.state, changes.reason)
            _update(write, session_id, **values)
            apply_to_statements(write, session_id, changes)


def read_session(connection: sa.Connection, session_id: int) -> Session:
    """Read one. Raises NotFound."""
    row = connection.execute(_ONE, {"session": session_id}).first()
    if row is None:
        raise _unknown(str(session_id))
    return _record(row)


def _check_caps(write: Write, owner: str, caps: Caps) -> None:
    living = write.connection.execute(
        sa.select(SESSION.c.owner, SESSION.c.state).where(SESSION.c.state.not_in(_ENDED))
    ).all()
    caps.check(owner, [(row.owner, SessionState(row.state)) for row in living])


def _move(write: Write, session: Session, to: SessionState, reason: Mapping[str, Any] | None) -> None:
    if values := _moved(write, session, to, reason):
        _update(write, session.id, **values)


def _moved(write: Write, session: Session, to: SessionState, reason: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values that a change of state sets, which is noted; empty when it may not become that."""
    if session.state == to or not may_become(session.state, to):
        return {}
    values: dict[str, Any] = {"state": to.value}
    if to in ENDED:
        values["ended_ms"] = write.now_ms
    if reason is not None:
        values["reason"] = to_json(reason)
    _note(write, session.id, to)
    return values


def _update(write: Write, session_id: int, **values: Any) -> None:
    write.connection.execute(_UPDATE, {"session": session_id, **values})


def _note(write: Write, session_id: int, state: SessionState) -> None:
    write.note("session.moved", run_id=_name(session_id), data={"state": state.value})


def _name(session_id: int) -> str:
    return f"session/{session_id}"


def _unknown(name: str) -> NotFound:
    return NotFound(
        "session.unknown", f"there is no session {name}", fix="nbplat session list shows those that are", where=name
    )


def _record(row: sa.Row[Any]) -> Session:
    return Session(
        id=row.id,
        kind=row.kind,
        name=row.name,
        owner=row.owner,
        proxy_user=row.proxy_user,
        state=SessionState(row.state),
        request=from_json(row.request),
        conf=from_json(row.conf),
        driver=from_json(row.driver),
        app=from_json(row.app),
        last_seq=row.last_seq,
        created_ms=row.created_ms,
        seen_ms=row.seen_ms,
        ended_ms=row.ended_ms,
        reason=from_json(row.reason),
    )
