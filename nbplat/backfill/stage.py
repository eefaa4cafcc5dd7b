"""Stage: compute the new columns, one aligned file per base file, each unit once.

Workers only write files; the catalog is touched once, at the end, by the committer. After a kill
only the units in flight are done again: finished ones stand in the ledger with their files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nbplat.backfill.align import align, check_unique, key_digest
from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.plan import BackfillPlan, UnitPlan
from nbplat.backfill.plan_python import run_python
from nbplat.backfill.ports import Engine, Publisher, StagedWriter, Tables
from nbplat.errors import DataError, NbplatError, unexpected
from nbplat.job import JobStore, StepContext, Unit, UnitState
from nbplat.terms import Progress, StagedFile, Window

__all__ = [
    "Stager",
    "check_keys",
    "compute",
    "probe",
    "read_sources",
    "release_dead_tries",
    "stage_scope",
    "staged_files",
]


def stage_scope(run_id: str) -> str:
    """The ledger scope of a run's staging units."""
    return f"{run_id}/stage"


@dataclass(frozen=True, slots=True)
class Stager:
    """Runs the staging step of one plan.

    Attributes:
        lease_ms, max_attempts: Of a unit in the ledger.
    """

    plan: BackfillPlan
    run_id: str
    tables: Tables
    engine: Engine
    writer: StagedWriter
    publisher: Publisher
    store: JobStore
    lease_ms: int
    max_attempts: int

    def run(self, context: StepContext, provenance: Mapping[str, str]) -> dict[str, Any]:
        """Stage every unit that is not done yet, then make the staging table.

        Returns:
            The run's outputs: ``staging_table``, ``staging_snapshot_id``, rows, files and bytes.

        Raises:
            DataError: the first unit's error, when units failed for good.
        """
        scope = stage_scope(self.run_id)
        units = {unit.id: unit for unit in self.plan.units}
        self.store.plan_units(scope, sorted(units))
        release_dead_tries(self.store, scope, context)
        if not self.plan.keys_checked:
            check_keys(self.plan, self.tables)
        sources = read_sources(self.plan, self.tables)
        group_of = {unit_id: group for group in self.plan.groups for unit_id in group}
        self._show(context, scope)
        while True:
            first = self.store.claim_units(
                scope, context.worker, limit=1, lease_ms=self.lease_ms, max_attempts=self.max_attempts
            )
            if not first:
                break
            # A unit that failed before runs alone, so that a poison unit names itself; a body over the
            # whole window fails for all of them alike.
            together = first[0].attempts == 1 or not self.plan.row_wise
            more = len(group_of[first[0].id]) - 1 if together else 0
            claimed = first + (
                self.store.claim_units(
                    scope, context.worker, limit=more, lease_ms=self.lease_ms, max_attempts=self.max_attempts
                )
                if more
                else []
            )
            self._do(context, scope, [(unit, units[unit.id]) for unit in claimed], sources)
            self._show(context, scope)
        return self._finish(scope, provenance)

    def _do(
        self,
        context: StepContext,
        scope: str,
        claimed: Sequence[tuple[Unit, UnitPlan]],
        sources: Mapping[str, pa.Table],
    ) -> None:
        try:
            files = compute(self.plan, self.tables, self.engine, [unit for _, unit in claimed], sources)
        except NbplatError as error:
            if len(claimed) > 1 and self.plan.row_wise:
                for lease, unit in claimed:
                    self._do(context, scope, [(lease, unit)], sources)
                return
            for lease, unit in claimed:
                context.report.log(f"unit {unit.id} ({unit.partition}) failed: {error}")
                self.store.fail_unit(scope, lease.id, lease.fence, {**error.record(), "where": unit.path})
            return
        for (lease, unit), (columns, digest) in zip(claimed, files, strict=True):
            staged = self.writer.write(self.run_id, unit.id, lease.fence, unit.path, columns, digest)
            if not self.store.finish_unit(scope, lease.id, lease.fence, staged.record()):
                context.report.log(f"unit {unit.id}: another worker finished it first; this file is left out")

    def _show(self, context: StepContext, scope: str) -> None:
        done = sum(1 for unit in self.store.units(scope) if unit.state is UnitState.DONE)
        context.report.progress(Progress(done, len(self.plan.units), "files"))

    def _finish(self, scope: str, provenance: Mapping[str, str]) -> dict[str, Any]:
        units = self.store.units(scope)
        failed = [unit for unit in units if unit.state is UnitState.FAILED]
        if failed:
            error = dict(failed[0].error or {})
            raise DataError(
                str(error.get("code", "stage.failed")),
                f"{len(failed)} of {len(units)} files failed; the first: {error.get('message', 'no reason kept')}",
                fix=str(error.get("fix", "read the log")),
                where=str(error.get("where", "")),
            )
        waiting = [unit for unit in units if unit.state is not UnitState.DONE]
        if waiting:
            raise DataError(
                "stage.leased", f"{len(waiting)} files are held by another worker", fix="run the same cell again"
            )
        staged = staged_files(self.store, self.run_id)
        table, snapshot_id = self.publisher.commit_staging(
            self.plan.base, self.run_id, self.plan.columns, self.plan.keys, staged, provenance
        )
        return {
            "staging_table": table,
            "staging_snapshot_id": snapshot_id,
            "staged_rows": sum(file.rows for file in staged),
            "staged_files": len(staged),
            "staged_bytes": sum(file.file_bytes for file in staged),
        }


def release_dead_tries(store: JobStore, scope: str, context: StepContext) -> None:
    """Give back the units that earlier tries held: a run has one live job, and the fence makes this its only try."""
    if all(unit.state is not UnitState.LEASED for unit in store.units(scope)):
        return
    for job in store.jobs(run_id=context.job.run_id):
        for fence in range(1, job.fence + 1):
            if (worker := f"{job.id}/{fence}") != context.worker:
                store.release_units(scope, worker)


def staged_files(store: JobStore, run_id: str) -> tuple[StagedFile, ...]:
    """The finished units' files, in plan order."""
    return tuple(
        StagedFile(**unit.result)
        for unit in store.units(stage_scope(run_id))
        if unit.state is UnitState.DONE and unit.result
    )


def read_sources(plan: BackfillPlan, tables: Tables) -> dict[str, pa.Table]:
    """Every source at its pin, once per job, under the name the engine knows it by."""
    return {engine_name(source.pin.table): tables.read(source.pin, source.columns) for source in plan.sources}


def compute(
    plan: BackfillPlan, tables: Tables, engine: Engine, units: Sequence[UnitPlan], sources: Mapping[str, pa.Table]
) -> list[tuple[pa.Table, str]]:
    """Run the body over some units and cut the result per file.

    Returns:
        Per unit the table to write (keys, partition sources, new columns; one row per base row in
        file order) and the digest of its keys.

    Raises:
        DataError: what the body's result breaks (see `nbplat.backfill.align.align`).
    """
    wanted = {unit.path for unit in units}
    per_file = [tables.read(plan.base, plan.base_columns, paths=[unit.path]) for unit in units]
    for unit, rows in zip(units, per_file, strict=True):
        if rows.num_rows != unit.rows:
            raise DataError(
                "stage.rows", f"the file holds {rows.num_rows} rows, planned were {unit.rows}", fix="plan the run again"
            )
    # A body that is not row-wise sees the whole window, whichever units are asked for.
    scope = plan.units if not plan.row_wise else units
    rest = [] if plan.row_wise else [unit for unit in scope if unit.path not in wanted]
    whole = pa.concat_tables([*per_file, *(tables.read(plan.base, plan.base_columns, paths=[u.path]) for u in rest)])
    inside = _inside(whole, plan.time_column, plan.window)
    base = whole if inside is None else whole.filter(inside)
    check_unique(
        base,
        plan.keys,
        "key.duplicate",
        "the table holds keys more than once",
        "choose --key columns that identify a row",
    )
    if plan.python is not None:
        result = run_python(plan.body, base)
    else:
        result = engine.run(plan.query, {engine_name(BASE): base, **sources})
    columns = align(result, whole.select(list(plan.keys)), plan.keys, plan.columns, inside)
    kept = [name for name in plan.base_columns if name in {*plan.keys, *plan.partition_columns}]
    out: list[tuple[pa.Table, str]] = []
    offset = 0
    for rows in per_file:
        part = rows.select(kept)
        for column in plan.columns:
            part = part.append_column(column.name, columns[column.name].slice(offset, rows.num_rows))
        out.append((part, key_digest(rows.select(list(plan.keys)))))
        offset += rows.num_rows
    return out


def check_keys(plan: BackfillPlan, tables: Tables) -> int:
    """Read the key columns of every unit and make sure that they identify a row; returns the rows read.

    Raises:
        DataError: ``key.duplicate`` or ``key.null``, naming values.
    """
    keys = tables.read(plan.base, plan.keys, paths=[unit.path for unit in plan.units])
    check_unique(keys, plan.keys, "key.duplicate", _DOUBLED, _OTHER_KEY)
    return int(keys.num_rows)


_DOUBLED = "the table holds keys more than once"
_OTHER_KEY = "choose --key columns that identify a row"


def probe(plan: BackfillPlan, tables: Tables, engine: Engine, writer: StagedWriter) -> tuple[int, int]:
    """Run the middle-sized unit without writing anything.

    Returns:
        Its rows, and the bytes its staged file would have.
    """
    unit = sorted(plan.units, key=lambda unit: unit.rows)[len(plan.units) // 2]
    try:
        [(columns, _)] = compute(plan, tables, engine, [unit], read_sources(plan, tables))
    except NbplatError:
        raise
    except Exception as exc:
        raise unexpected(exc) from exc
    return unit.rows, writer.sample_bytes(columns)


def _inside(rows: pa.Table, time_column: str | None, window: Window) -> pa.Array | None:
    """``bool[rows]``, True inside the window; None when there is no window. A null time is outside."""
    if window.unbounded or time_column is None:
        return None
    time = rows[time_column]
    if pa.types.is_date(time.type):
        time = time.cast(pa.timestamp("us"))  # a date is its first moment
    mask = pc.is_valid(time)
    for bound, compare in ((window.start, pc.greater_equal), (window.end, pc.less)):
        if bound is not None:
            limit = pa.scalar(bound if time.type.tz else bound.replace(tzinfo=None), time.type)
            mask = pc.and_(mask, pc.fill_null(compare(time, limit), False))
    return pc.cast(mask, pa.bool_()).combine_chunks()
