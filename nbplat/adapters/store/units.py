from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, from_json, to_json
from nbplat.adapters.store.tables import UNIT
from nbplat.job import Unit, UnitState

__all__ = ["Units"]

_CHUNK = 500


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

    def claim_units(self, scope: str, worker: str, *, limit: int, lease_ms: int, max_attempts: int) -> list[Unit]:
        with self._db.write() as write:
            _give_up_lapsed(write, scope, max_attempts)
            query = (
                sa.select(UNIT)
                .where(
                    UNIT.c.scope == scope,
                    sa.or_(
                        UNIT.c.state == UnitState.PENDING.value,
                        sa.and_(UNIT.c.state == UnitState.LEASED.value, UNIT.c.until_ms <= write.now_ms),
                        sa.and_(UNIT.c.state == UnitState.FAILED.value, UNIT.c.attempts < max_attempts),
                    ),
                )
                .order_by(UNIT.c.id)
                .limit(limit)
            )
            ids = [row.id for row in write.connection.execute(query)]
            _set(
                write,
                scope,
                ids,
                state=UnitState.LEASED.value,
                worker=worker,
                until_ms=write.now_ms + lease_ms,
                fence=UNIT.c.fence + 1,
                attempts=UNIT.c.attempts + 1,
            )
            claimed = _read(write, scope, ids)
            for unit in claimed:
                _note(write, "unit.leased", unit, worker=worker)
            return claimed

    def finish_unit(self, scope: str, unit_id: str, fence: int, result: Mapping[str, Any]) -> bool:
        return self._end(scope, unit_id, fence, "unit.done", state=UnitState.DONE.value, result=to_json(result))

    def fail_unit(self, scope: str, unit_id: str, fence: int, error: Mapping[str, Any]) -> bool:
        return self._end(scope, unit_id, fence, "unit.failed", state=UnitState.FAILED.value, error=to_json(error))

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

    def reset_failed_units(self, scope: str) -> int:
        with self._db.write() as write:
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
            rows = connection.execute(sa.select(UNIT).where(UNIT.c.scope == scope).order_by(UNIT.c.id))
            return [_record(row) for row in rows]

    def _end(self, scope: str, unit_id: str, fence: int, event: str, **values: Any) -> bool:
        with self._db.write() as write:
            held = (
                UNIT.c.scope == scope,
                UNIT.c.id == unit_id,
                UNIT.c.fence == fence,
                UNIT.c.state == UnitState.LEASED.value,
            )
            if not write.connection.execute(sa.update(UNIT).where(*held).values(until_ms=None, **values)).rowcount:
                return False
            _note(write, event, _read(write, scope, [unit_id])[0])
            return True


def _give_up_lapsed(write: Write, scope: str, max_attempts: int) -> None:
    """A unit that outlived its last try has failed: without this it would stay leased for ever."""
    query = sa.select(UNIT.c.id).where(
        UNIT.c.scope == scope,
        UNIT.c.state == UnitState.LEASED.value,
        UNIT.c.until_ms <= write.now_ms,
        UNIT.c.attempts >= max_attempts,
    )
    ids = list(write.connection.execute(query).scalars())
    if not ids:
        return
    error = {
        "kind": "SetupError",
        "code": "unit.abandoned",
        "message": f"the process that worked on this unit died {max_attempts} times",
        "fix": "look at the job's log for memory or disk, then retry the run",
        "where": "",
        "detail_id": None,
    }
    _set(write, scope, ids, state=UnitState.FAILED.value, until_ms=None, error=to_json(error))
    for unit in _read(write, scope, ids):
        _note(write, "unit.failed", unit)


def _set(write: Write, scope: str, ids: Sequence[str], **values: Any) -> None:
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        write.connection.execute(sa.update(UNIT).where(UNIT.c.scope == scope, UNIT.c.id.in_(chunk)).values(**values))


def _read(write: Write, scope: str, ids: Sequence[str]) -> list[Unit]:
    found: list[Unit] = []
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(UNIT).where(UNIT.c.scope == scope, UNIT.c.id.in_(ids[start : start + _CHUNK]))
        found += [_record(row) for row in write.connection.execute(query.order_by(UNIT.c.id))]
    return found


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
