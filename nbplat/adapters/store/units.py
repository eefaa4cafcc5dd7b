from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, from_json, to_json
from nbplat.adapters.store.tables import UNIT
from nbplat.job import Unit, UnitState

__all__ = ["Units"]

# Parameters must not have a column's name: SQLAlchemy would put them into the SET clause.
_OF_SCOPE = UNIT.c.scope == sa.bindparam("of_scope")
_ALL = sa.select(UNIT).where(_OF_SCOPE).order_by(UNIT.c.id)
_GIVE_UP = (
    sa.update(UNIT)
    .where(
        _OF_SCOPE,
        UNIT.c.state == UnitState.LEASED.value,
        UNIT.c.until_ms <= sa.bindparam("now"),
        UNIT.c.attempts >= sa.bindparam("most_attempts"),
    )
    .values(state=UnitState.FAILED.value, until_ms=None, error=sa.bindparam("why"))
    .returning(UNIT)
)
_FREE = UNIT.alias("free")  # under its own name, it cannot be correlated with the table that is changed
# A unit that is pending after an attempt is one whose holder died.
_DIED = sa.and_(_FREE.c.state == UnitState.PENDING.value, _FREE.c.attempts > 0)


def _claim(*which: sa.ColumnElement[bool]) -> sa.Executable:
    free = (
        sa.select(_FREE.c.id)
        .where(
            _FREE.c.scope == sa.bindparam("of_scope"),
            sa.or_(
                _FREE.c.state == UnitState.PENDING.value,
                sa.and_(_FREE.c.state == UnitState.LEASED.value, _FREE.c.until_ms <= sa.bindparam("now")),
                sa.and_(_FREE.c.state == UnitState.FAILED.value, _FREE.c.attempts < sa.bindparam("most_attempts")),
            ),
            *which,
        )
        .order_by(_FREE.c.id)
        .limit(sa.bindparam("most"))
    )
    return (
        sa.update(UNIT)
        .where(_OF_SCOPE, UNIT.c.id.in_(free))
        .values(
            state=UnitState.LEASED.value,
            worker=sa.bindparam("by"),
            until_ms=sa.bindparam("until"),
            fence=UNIT.c.fence + 1,
            attempts=UNIT.c.attempts + 1,
        )
        .returning(UNIT)
    )


_CLAIM = {None: _claim(), True: _claim(_DIED), False: _claim(sa.not_(_DIED))}
_BURY = (
    sa.update(UNIT)
    .where(_OF_SCOPE, UNIT.c.worker == sa.bindparam("by"), UNIT.c.state == UnitState.LEASED.value)
    .values(
        state=sa.case(
            (UNIT.c.attempts >= sa.bindparam("most_attempts"), UnitState.FAILED.value), else_=UnitState.PENDING.value
        ),
        worker=None,
        until_ms=None,
        error=sa.bindparam("why"),
    )
    .returning(UNIT)
)
_HELD = (
    _OF_SCOPE,
    UNIT.c.id == sa.bindparam("unit"),
    UNIT.c.fence == sa.bindparam("held_fence"),
    UNIT.c.state == UnitState.LEASED.value,
)
_FINISH = (
    sa.update(UNIT)
    .where(*_HELD)
    .values(state=UnitState.DONE.value, until_ms=None, result=sa.bindparam("outcome"))
    .returning(UNIT)
)
_FAIL = (
    sa.update(UNIT)
    .where(*_HELD)
    .values(state=UnitState.FAILED.value, until_ms=None, error=sa.bindparam("outcome"))
    .returning(UNIT)
)


class Units:
    """Units of work, each done once: a result counts only under the fence of the last claim."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def plan_units(self, scope: str, unit_ids: Sequence[str]) -> None:
        with self._db.write() as write:
            known = set(write.connection.execute(sa.select(UNIT.c.id).where(UNIT.c.scope == scope)).scalars())
            rows = [
                {"scope": scope, "id": unit_id, "state": UnitState.PENDING.value, "fence": 0, "attempts": 0}
                for unit_id in dict.fromkeys(unit_ids)
                if unit_id not in known
            ]
            if rows:
                write.connection.execute(sa.insert(UNIT), rows)
                write.note("unit.planned", run_id=_run_of(scope), data={"scope": scope, "units": len(rows)})

    def claim_units(
        self, scope: str, worker: str, *, limit: int, lease_ms: int, max_attempts: int, died: bool | None = None
    ) -> list[Unit]:
        with self._db.write() as write:
            _give_up_lapsed(write, scope, max_attempts)
            claimed = _changed(
                write,
                _CLAIM[died],
                of_scope=scope,
                now=write.now_ms,
                most_attempts=max_attempts,
                most=limit,
                by=worker,
                until=write.now_ms + lease_ms,
            )
            for unit in claimed:
                _note(write, "unit.leased", unit, worker=worker)
            return claimed

    def finish_unit(self, scope: str, unit_id: str, fence: int, result: Mapping[str, Any]) -> bool:
        return self._end(_FINISH, "unit.done", scope, unit_id, fence, result)

    def finish_units(self, scope: str, done: Mapping[str, tuple[int, Mapping[str, Any]]]) -> set[str]:
        counted = set()
        with self._db.write() as write:
            for unit_id, (fence, result) in done.items():
                outcome = to_json(result)
                for unit in _changed(write, _FINISH, of_scope=scope, unit=unit_id, held_fence=fence, outcome=outcome):
                    _note(write, "unit.done", unit)
                    counted.add(unit.id)
        return counted

    def renew_units(self, scope: str, worker: str, *, lease_ms: int) -> int:
        with self._db.write() as write:
            return write.connection.execute(
                sa.update(UNIT)
                .where(UNIT.c.scope == scope, UNIT.c.worker == worker, UNIT.c.state == UnitState.LEASED.value)
                .values(until_ms=write.now_ms + lease_ms)
            ).rowcount

    def fail_unit(self, scope: str, unit_id: str, fence: int, error: Mapping[str, Any]) -> bool:
        return self._end(_FAIL, "unit.failed", scope, unit_id, fence, error)

    def release_units(self, scope: str, worker: str) -> int:
        with self._db.write() as write:
            held = write.connection.execute(
                sa.update(UNIT)
                .where(UNIT.c.scope == scope, UNIT.c.worker == worker, UNIT.c.state == UnitState.LEASED.value)
                .values(state=UnitState.PENDING.value, worker=None, until_ms=None, attempts=UNIT.c.attempts - 1)
            ).rowcount
            if held:
                write.note("unit.released", run_id=_run_of(scope), data={"scope": scope, "units": held})
            return held

    def bury_units(self, scope: str, worker: str, *, max_attempts: int, error: Mapping[str, Any]) -> list[Unit]:
        with self._db.write() as write:
            held = _changed(write, _BURY, of_scope=scope, by=worker, most_attempts=max_attempts, why=to_json(error))
            for unit in held:
                _note(write, "unit.failed" if unit.state is UnitState.FAILED else "unit.died", unit)
            return held

    def reset_failed_units(self, scope: str) -> int:
        with self._db.write() as write:
            write.connection.execute(
                sa.update(UNIT)
                .where(UNIT.c.scope == scope, UNIT.c.state == UnitState.PENDING.value, UNIT.c.attempts > 0)
                .values(attempts=0)
            )
            reset = write.connection.execute(
                sa.update(UNIT)
                .where(UNIT.c.scope == scope, UNIT.c.state == UnitState.FAILED.value)
                .values(state=UnitState.PENDING.value, worker=None, until_ms=None, attempts=0)
            ).rowcount
            if reset:
                write.note("unit.reset", run_id=_run_of(scope), data={"scope": scope, "units": reset})
            return reset

    def units(self, scope: str) -> list[Unit]:
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(_ALL, {"of_scope": scope})]

    def _end(
        self,
        statement: sa.Executable,
        event: str,
        scope: str,
        unit_id: str,
        fence: int,
        outcome: Mapping[str, Any],
    ) -> bool:
        text = to_json(outcome)
        with self._db.write() as write:
            ended = _changed(write, statement, of_scope=scope, unit=unit_id, held_fence=fence, outcome=text)
            for unit in ended:
                _note(write, event, unit)
            return bool(ended)


def _give_up_lapsed(write: Write, scope: str, max_attempts: int) -> None:
    """A unit that outlived its last try has failed: without this it would stay leased for ever."""
    error = {
        "kind": "SetupError",
        "code": "unit.abandoned",
        "message": f"the process that worked on this unit died {max_attempts} times",
        "fix": "look at the job's log for memory or disk, then retry the run",
        "where": "",
        "detail_id": None,
    }
    for unit in _changed(
        write, _GIVE_UP, of_scope=scope, now=write.now_ms, most_attempts=max_attempts, why=to_json(error)
    ):
        _note(write, "unit.failed", unit)


def _changed(write: Write, statement: sa.Executable, **bound: Any) -> list[Unit]:
    """Run it; the units it changed, in unit-id order: RETURNING has none of its own."""
    rows = write.connection.execute(statement, bound).all()
    return sorted((_record(row) for row in rows), key=lambda unit: unit.id)


def _note(write: Write, event: str, unit: Unit, **data: Any) -> None:
    if unit.error is not None and event == "unit.failed":
        data["code"] = unit.error.get("code")
    write.note(
        event,
        run_id=_run_of(unit.scope),
        unit_id=unit.id,
        data={"scope": unit.scope, "fence": unit.fence, "attempts": unit.attempts, **data},
    )


def _run_of(scope: str) -> str:
    return scope.partition("/")[0]


def _record(row: Any) -> Unit:
    return Unit(
        scope=row.scope,
        id=row.id,
        state=UnitState(row.state),
        fence=row.fence,
        attempts=row.attempts,
        result=from_json(row.result),
        error=from_json(row.error),
    )
