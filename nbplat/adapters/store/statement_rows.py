"""Rows of statements and of what they printed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Write, from_json, to_json
from nbplat.adapters.store.tables import CHUNK, STATEMENT
from nbplat.errors import NotFound
from nbplat.session.changes import Changes, StatementChange
from nbplat.session.records import Statement
from nbplat.session.states import FINAL, StatementState

__all__ = ["IS_OPEN", "OPEN", "apply_to_statements", "read_statement", "statement_of"]

OPEN = sorted(state.value for state in StatementState if state not in FINAL)
"""States of statements that have not ended."""

# Built once: see `nbplat.adapters.store.database`.
IS_OPEN = sa.or_(*(STATEMENT.c.state == state for state in OPEN))
"""Of a statement that has not ended."""

_ADD_CHUNKS = sa.insert(CHUNK)
_ONE = sa.select(STATEMENT).where(
    STATEMENT.c.session_id == sa.bindparam("session"), STATEMENT.c.id == sa.bindparam("number")
)
_CHANGE = sa.update(STATEMENT).where(
    STATEMENT.c.session_id == sa.bindparam("session"),
    STATEMENT.c.id == sa.bindparam("number"),
    # One that was ended for its driver's death stays so; `cancelling` gives way to an end only.
    IS_OPEN,
)
# One that is being cancelled already stays so.
_RUN = (
    sa.update(STATEMENT)
    .where(
        STATEMENT.c.session_id == sa.bindparam("session"),
        STATEMENT.c.id == sa.bindparam("number"),
        STATEMENT.c.state == StatementState.WAITING.value,
    )
    .values(state=StatementState.RUNNING.value)
)


def apply_to_statements(write: Write, session_id: int, changes: Changes) -> None:
    """Make the changes of a session's statements."""
    for statement_id, change in changes.statements.items():
        which = {"session": session_id, "number": statement_id}
        if change.state is StatementState.RUNNING:
            write.connection.execute(_RUN, which)
        if values := _values(change):
            write.connection.execute(_CHANGE, {**which, **values})
        if change.state in FINAL:
            write.note(
                "statement.ended",
                run_id=f"session/{session_id}",
                data={"statement": statement_id, "state": str(change.state)},
            )
    rows = [
        {"session_id": session_id, "statement_id": statement_id, "seq": one.seq, "name": one.name, "text": one.text}
        for statement_id, chunks in changes.chunks.items()
        for one in chunks
    ]
    if rows:
        write.connection.execute(_ADD_CHUNKS, rows)


def read_statement(connection: sa.Connection, session_id: int, statement_id: int) -> Statement:
    """Read one. Raises NotFound."""
    row = connection.execute(_ONE, {"session": session_id, "number": statement_id}).first()
    if row is None:
        raise NotFound(
            "session.statement",
            f"session {session_id} has no statement {statement_id}",
            fix="list its statements",
            where=str(statement_id),
        )
    return statement_of(row)


def statement_of(row: sa.Row[Any]) -> Statement:
    """The record of a row."""
    return Statement(
        session_id=row.session_id,
        id=row.id,
        code=row.code,
        kind=row.kind,
        options=from_json(row.options),
        state=StatementState(row.state),
        output=from_json(row.output),
        progress=row.progress,
        detail=from_json(row.detail),
        started_ms=row.started_ms,
        completed_ms=row.completed_ms,
    )


def _values(change: StatementChange) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if change.state not in (None, StatementState.RUNNING):
        values["state"] = change.state.value
    if change.output is not None:
        values["output"] = to_json(change.output)
    if change.detail is not None:
        values["detail"] = to_json(change.detail)
    for name in ("progress", "started_ms", "completed_ms"):
        if (value := getattr(change, name)) is not None:
            values[name] = value
    return values
