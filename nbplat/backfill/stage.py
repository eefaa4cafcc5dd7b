"""Stage: compute the new columns, one aligned file per base file, each unit once.

Workers only write files; the catalog is touched once, at the end, by the committer. After a kill
only the units in flight are done again: finished ones stand in the ledger with their files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.backfill.board import Board
from nbplat.backfill.claims import Claims
from nbplat.backfill.compute import check_keys
from nbplat.backfill.groups import cut_groups
from nbplat.backfill.handed_keys import HandedKeys
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Publisher, Runner, Tables
from nbplat.backfill.states import stage_scope
from nbplat.backfill.tasks import task_maker, written_sources
from nbplat.errors import Conflict, NbplatError, from_record
from nbplat.job import JobStore, StepContext, UnitState
from nbplat.job.beat import beating
from nbplat.remote.keys import BYTES_A_KEY
from nbplat.remote.task import Task
from nbplat.terms import StagedFile

__all__ = ["Stager", "release_dead_tries", "stage_scope", "staged_files"]

# What every other unit would meet as well: the step ends at once, and no unit counts as tried.
_ENDS_THE_STEP = frozenset({"disk.full", "local.disk"})


@dataclass(frozen=True, slots=True)
class Stager:
    """Runs the staging step of one plan.

    Attributes:
        out: Folder for the run's staged files; a location.
        scratch: The run's own folder in the state folder, for what is gone when the step has ended.
        settings: ``threads``, ``memory_bytes`` and ``spill_folder`` of the whole step; slots share them.
        lease_ms, max_attempts: Of a unit in the ledger.
    """

    plan: BackfillPlan
    run_id: str
    tables: Tables
    runner: Runner
    publisher: Publisher
    store: JobStore
    out: str
    scratch: Path
    settings: Mapping[str, Any]
    lease_ms: int
    max_attempts: int

    def run(self, context: StepContext, provenance: Mapping[str, str]) -> dict[str, Any]:
        """Stage every unit that is not done yet, then make the staging table.

        Returns:
            The run's outputs: ``staging_table``, ``staging_snapshot_id``, rows, files and bytes.

        Raises:
            NbplatError: the first unit's error, when units failed for good.
            Conflict: ``job.stopped``, when the job was cancelled; units that are done stay done.
            JobPaused: a person asked to pause.
        """
        scope = stage_scope(self.run_id)
        self.store.plan_units(scope, sorted(unit.id for unit in self.plan.units))
        release_dead_tries(self.store, scope, context)
        units = self.store.units(scope)
        board = Board(self.plan, context, units)
        for unit in units:
            if unit.state is UnitState.PENDING and unit.attempts:
                board.suspected(unit, self.max_attempts)
        keys = HandedKeys() if self._hands_keys(board) else None
        if keys is None:
            self._check_keys()
        if not board.complete:
            with (
                self._sources() as sources,
                _renewed(self.store, scope, context.worker, self.lease_ms),
            ):
                self._stage(context, board, self._maker(sources, hand_keys=keys is not None), keys)
        return self._finish(scope, provenance, keys)

    def _hands_keys(self, board: Board) -> bool:
        """True when the keys are checked as they are staged: all of them here, in memory."""
        return (
            not self.plan.keys_checked
            and board.done == 0
            and self.plan.row_wise
            and self.runner.name == "local"
            and self.plan.rows * BYTES_A_KEY <= self.settings["memory_bytes"] // 2
        )

    def _check_keys(self) -> None:
        """Read the keys and refuse doubled ones, where the plan has not done so."""
        if not self.plan.keys_checked:
            check_keys(self.plan, self.tables, self.settings)

    def _maker(self, sources: Mapping[str, str], *, hand_keys: bool) -> Callable[[Mapping[str, int]], Task]:
        return task_maker(
            self.plan,
            self.tables,
            run_id=self.run_id,
            out=self.out,
            sources=sources,
            settings=_share(self.settings, self.runner, whole=not self.plan.row_wise and len(self.plan.groups) == 1),
            keys_unique=not hand_keys,
            hand_keys=hand_keys,
        )

    def _sources(self) -> AbstractContextManager[dict[str, str]]:
        if self.runner.whole:
            return nullcontext({})
        return written_sources(self.plan, self.tables, self.scratch / "sources")

    def _groups(self) -> tuple[tuple[str, ...], ...]:
        if self.runner.whole:
            return (tuple(unit.id for unit in self.plan.units),)
        return cut_groups(self.plan, memory_bytes=self.settings["memory_bytes"], slots=self.runner.slots)

    def _stage(
        self,
        context: StepContext,
        board: Board,
        make: Callable[[Mapping[str, int]], Task],
        keys: HandedKeys | None,
    ) -> None:
        """Keep the runner busy until no unit can be claimed any more."""
        scope = stage_scope(self.run_id)
        claims = Claims(self.plan, self.store, context, make, scope, self._groups(), self.lease_ms, self.max_attempts)
        try:
            # A unit that fails while the last pieces run is claimed again in another round.
            while claims.more:
                for results in self.runner.run(claims.tasks()):
                    self._settle(scope, results, board, claims)
                    if keys is not None:
                        self._watch(keys, results, claims)
        finally:
            # A store that is away gives them back when the next try asks for it.
            with suppress(NbplatError):
                self.store.release_units(scope, context.worker)
        if claims.error is not None:
            raise from_record(claims.error)
        if claims.pause is not None:
            raise claims.pause
        if claims.stopped:
            raise Conflict(
                "job.stopped",
                f"staging was stopped with {board.done} of {len(self.plan.units)} files done",
                fix=f"`%backfill retry {self.run_id}` goes on with what is left",
            )

    def _settle(self, scope: str, results: list[dict[str, Any]], board: Board, claims: Claims) -> None:
        """Write a piece's results into the ledger."""
        done = {result["unit"]: (result["fence"], result["file"]) for result in results if "file" in result}
        counted = self.store.finish_units(scope, done) if done else set()
        for result in results:
            if "file" in result:
                board.finished(result, counts=result["unit"] in counted)
            elif result["error"]["code"] in _ENDS_THE_STEP:
                claims.error = result["error"]
            else:
                self.store.fail_unit(scope, result["unit"], result["fence"], result["error"])
                board.failed(result)
        board.show()

    def _watch(self, keys: HandedKeys, results: list[dict[str, Any]], claims: Claims) -> None:
        """End the step when keys stand twice."""
        for result in results:
            keys.take(result)
        if claims.error is None and keys.doubtful():
            try:
                self._check_keys()
            except NbplatError as error:
                claims.error = error.record()
            else:
                keys.settled = True

    def _finish(self, scope: str, provenance: Mapping[str, str], keys: HandedKeys | None) -> dict[str, Any]:
        units = self.store.units(scope)
        failed = [unit for unit in units if unit.state is UnitState.FAILED]
        if failed:
            first = {**(failed[0].error or {})}
            first["where"] = first.get("where") or next(u.path for u in self.plan.units if u.id == failed[0].id)
            message = f"{len(failed)} of {len(units)} files failed; the first: {first.get('message', 'no reason kept')}"
            raise from_record({"kind": "DataError", "code": "stage.failed", **first, "message": message})
        waiting = [unit for unit in units if unit.state is not UnitState.DONE]
        if waiting:
            raise Conflict(
                "stage.leased", f"{len(waiting)} files are held by another worker", fix="run the same cell again"
            )
        if keys is not None and not keys.proved(unit.id for unit in self.plan.units):
            self._check_keys()
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


def _share(settings: Mapping[str, Any], runner: Runner, *, whole: bool) -> dict[str, Any]:
    """What one task may use: a slot's share, or everything for the one task of a whole window."""
    slots = 1 if whole else runner.slots
    return {
        "threads": settings["threads"] if whole else 1,
        "memory_bytes": max(settings["memory_bytes"] // slots, _SLOT_FLOOR_BYTES),
        # Another machine has no folder of ours.
        "spill_folder": settings["spill_folder"] if runner.name == "local" else None,
    }


# DuckDB cannot bind, let alone spill, in less.
_SLOT_FLOOR_BYTES = 64 << 20


def _renewed(store: JobStore, scope: str, worker: str, lease_ms: int) -> AbstractContextManager[None]:
    """Keep the worker's units leased while the block runs."""
    renew = functools.partial(store.renew_units, scope, worker, lease_ms=lease_ms)
    return beating(renew, lease_ms=lease_ms, name=f"renew-{worker}")


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
