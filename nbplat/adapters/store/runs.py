from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, from_json, to_json
from nbplat.adapters.store.tables import RUN, RUN_NUMBER
from nbplat.errors import Conflict, NotFound, did_you_mean
from nbplat.job import Run, RunDraft, asked_from

__all__ = ["Runs"]

_ONE = sa.select(RUN).where(RUN.c.kind == sa.bindparam("of_kind"), RUN.c.id == sa.bindparam("run"))


class Runs:
    """Named, numbered runs, and the compare-and-swap of their states."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def open_run(self, draft: RunDraft, *, force_new: bool = False) -> tuple[Run, bool]:
        with self._db.write() as write:
            if not force_new and (live := _live_twin(write, draft)) is not None:
                return live, False
            number = _next_number(write, draft)
            run = Run(
                id=f"{draft.name}@{number}",
                kind=draft.kind,
                name=draft.name,
                number=number,
                identity=draft.identity,
                state=draft.state,
                spec=draft.spec,
                plan=draft.plan,
                outputs={},
                error=None,
                owner=draft.owner,
                created_ms=write.now_ms,
                updated_ms=write.now_ms,
                notebook=asked_from(),
            )
            write.connection.execute(sa.insert(RUN).values(**_values(run)))
            write.note("run.opened", run_id=run.id, data={"kind": run.kind, "state": run.state})
            # Read back: what the caller holds is what a later reader gets (tuples are lists by then).
            return _read(write.connection, run.kind, run.id), True

    def run(self, kind: str, run_id: str) -> Run:
        with self._db.read() as connection:
            return _read(connection, kind, run_id)

    def runs(
        self, kind: str | None = None, *, name: str | None = None, limit: int = 100, plans: bool = True
    ) -> list[Run]:
        chosen = RUN.c if plans else [*(c for c in RUN.c if c.name != "plan"), sa.literal("{}").label("plan")]
        query = sa.select(*chosen).order_by(RUN.c.seq.desc()).limit(limit)
        if kind is not None:
            query = query.where(RUN.c.kind == kind)
        if name is not None:
            query = query.where(RUN.c.name == name)
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def move_run(
        self,
        kind: str,
        run_id: str,
        to: str,
        *,
        frm: Collection[str],
        outputs: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Run:
        with self._db.write() as write:
            run = _read(write.connection, kind, run_id)
            if run.state != to and run.state not in frm:
                raise Conflict(
                    "run.state",
                    f"{kind} {run_id} is {run.state} and cannot become {to}",
                    fix=f"it must be {' or '.join(sorted(frm))} first; look at its status",
                    where=run_id,
                )
            merged = {**run.outputs, **(outputs or {})}
            if run.state == to and merged == run.outputs and error in (None, run.error):
                return run  # a repeated step changes nothing, so it tells nothing
            write.connection.execute(
                sa.update(RUN)
                .where(RUN.c.kind == kind, RUN.c.id == run_id)
                .values(
                    state=to,
                    outputs=to_json(merged),
                    error=to_json(error),
                    updated_ms=write.now_ms,
                )
            )
            write.note("run.moved", run_id=run_id, data={"kind": kind, "from": run.state, "to": to})
            return _read(write.connection, kind, run_id)


def _live_twin(write: Write, draft: RunDraft) -> Run | None:
    query = (
        sa.select(RUN)
        .where(
            RUN.c.kind == draft.kind,
            RUN.c.name == draft.name,
            RUN.c.identity == draft.identity,
            RUN.c.state.in_(sorted(draft.live_states)),
        )
        .order_by(RUN.c.seq.desc())
        .limit(1)
    )
    row = write.connection.execute(query).one_or_none()
    return None if row is None else _record(row)


def _next_number(write: Write, draft: RunDraft) -> int:
    key = (RUN_NUMBER.c.kind == draft.kind, RUN_NUMBER.c.name == draft.name)
    last = write.connection.execute(sa.select(RUN_NUMBER.c.last).where(*key)).scalar_one_or_none()
    if last is None:
        write.connection.execute(sa.insert(RUN_NUMBER).values(kind=draft.kind, name=draft.name, last=1))
        return 1
    write.connection.execute(sa.update(RUN_NUMBER).where(*key).values(last=last + 1))
    return int(last) + 1


def _read(connection: sa.Connection, kind: str, run_id: str) -> Run:
    row = connection.execute(_ONE, {"of_kind": kind, "run": run_id}).one_or_none()
    if row is None:
        known = connection.execute(
            sa.select(RUN.c.id).where(RUN.c.kind == kind).order_by(RUN.c.seq.desc()).limit(500)
        ).scalars()
        raise NotFound(
            "run.unknown",
            f"there is no {kind} run {run_id!r}",
            fix=did_you_mean(run_id, known) or f"no {kind} run exists yet",
            where=run_id,
        )
    return _record(row)


def _values(run: Run) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "id": run.id,
        "name": run.name,
        "number": run.number,
        "identity": run.identity,
        "state": run.state,
        "spec": to_json(run.spec),
        "plan": to_json(run.plan),
        "outputs": to_json(run.outputs),
        "error": to_json(run.error),
        "owner": run.owner,
        "created_ms": run.created_ms,
        "updated_ms": run.updated_ms,
        "notebook": run.notebook,
    }


def _record(row: Any) -> Run:
    return Run(
        id=row.id,
        kind=row.kind,
        name=row.name,
        number=row.number,
        identity=row.identity,
        state=row.state,
        spec=from_json(row.spec),
        plan=from_json(row.plan),
        outputs=from_json(row.outputs),
        error=from_json(row.error),
        owner=row.owner,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        notebook=row.notebook,
    )
