"""Promote: splice every file, swap them on a branch, check those bytes, then move main.

Nothing shows in main until the one compare-and-swap at the end, and nothing is decoded on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Addition, Publisher, Splicer, Swap, Tables
from nbplat.backfill.stage import release_dead_tries, staged_files
from nbplat.errors import Conflict, DataError
from nbplat.job import JobStore, Lease, StepContext, UnitState
from nbplat.terms import Progress, StagedFile, TableName

__all__ = ["Promoter", "promote_scope", "promotion_lease", "swaps_of"]


def promote_scope(run_id: str, field_ids: Mapping[str, int]) -> str:
    """The ledger scope of a run's splices.

    The field ids are written into the files, so a try with other ids (the table's schema moved in
    between) splices anew.
    """
    return f"{run_id}/promote/" + "-".join(str(field_ids[name]) for name in sorted(field_ids))


def promotion_lease(table: str) -> str:
    """The lease that keeps promotions of one table apart."""
    return f"promote:{table}"


def swaps_of(store: JobStore, scope: str) -> tuple[Swap, ...]:
    """Every finished splice of a scope."""
    return tuple(
        Swap(unit.result["old_path"], unit.result["new_path"])
        for unit in store.units(scope)
        if unit.state is UnitState.DONE and unit.result
    )


@dataclass(frozen=True, slots=True)
class Promoter:
    """Runs the promotion step of one plan.

    Attributes:
        lease_ms, max_attempts: Of a unit and of the table's promotion lease.
        keep_schemas: Schema ids of the table that live runs still read with.
    """

    plan: BackfillPlan
    run_id: str
    tables: Tables
    splicer: Splicer
    publisher: Publisher
    store: JobStore
    lease_ms: int
    max_attempts: int
    keep_schemas: frozenset[int] = frozenset()

    def run(self, context: StepContext, provenance: Mapping[str, str]) -> dict[str, Any]:
        """Promote the run.

        Returns:
            The run's outputs: ``publication`` and what was copied.

        Raises:
            Conflict: another promotion holds the table, a column of that name was promoted
                meanwhile, or base files were replaced or got deletes since the plan.
            DataError: the new files are not what was audited.
        """
        # Held by the run, which has one live job: a try after a kill need not wait for the dead one's lease.
        lease = self.store.take_lease(promotion_lease(self.plan.base.table), self.run_id, ttl_ms=self.lease_ms)
        try:
            return self._promote(context, lease, provenance)
        finally:
            self.store.release_lease(lease)

    def _promote(self, context: StepContext, lease: Lease, provenance: Mapping[str, str]) -> dict[str, Any]:
        plan = self.plan
        published = self.publisher.published(plan.base, self.run_id)
        if published is None:
            field_ids = self.publisher.field_ids(plan.base, self.run_id, plan.columns)
            scope = promote_scope(self.run_id, field_ids)
            self._refuse_moved_files()
            self._splice_all(context, lease, field_ids, scope)
            swaps = swaps_of(self.store, scope)
            published = self.publisher.publish(
                plan.base,
                self.run_id,
                plan.columns,
                field_ids,
                swaps,
                {file.base_path: file.path for file in staged_files(self.store, self.run_id)},
                provenance,
                lambda: self._check(context, swaps, field_ids),
                self.keep_schemas,
            )
        scope = promote_scope(self.run_id, published.field_ids)
        done = [unit.result for unit in self.store.units(scope) if unit.result]
        return {
            "publication": published.record(),
            "copied_bytes": sum(int(result["copied_bytes"]) for result in done),
            "added_bytes": sum(int(result["added_bytes"]) for result in done),
            "spliced_files": len(done),
        }

    def _refuse_moved_files(self) -> None:
        """A base file that is gone, or that deletes can touch by now, must not be spliced."""
        live = self.tables.live_paths(TableName.parse(self.plan.base.table))
        gone = [unit.path for unit in self.plan.units if unit.path not in live]
        deleted = [unit.path for unit in self.plan.units if live.get(unit.path)]
        for paths, what in ((gone, "were replaced or removed"), (deleted, "got row-level deletes")):
            if paths:
                raise Conflict(
                    "promotion.base_changed",
                    f"{len(paths)} data files of {self.plan.base.table} {what} since the run was planned",
                    fix=f"stage on the present snapshot: `%backfill rollback {self.run_id}`, then the cell again",
                    where=paths[0],
                )

    def _splice_all(self, context: StepContext, lease: Lease, field_ids: Mapping[str, int], scope: str) -> None:
        staged = {file.base_path: file for file in staged_files(self.store, self.run_id)}
        units = {unit.id: unit for unit in self.plan.units}
        self.store.plan_units(scope, sorted(units))
        release_dead_tries(self.store, scope, context)
        self.store.reset_failed_units(scope)
        while claimed := self.store.claim_units(
            scope, context.worker, limit=1, lease_ms=self.lease_ms, max_attempts=self.max_attempts
        ):
            [unit] = claimed
            base_path = units[unit.id].path
            out = self.splicer.target_path(base_path, self.run_id, unit.fence)
            report = self.splicer.splice(base_path, [Addition(staged[base_path].path, field_ids)], out)
            self.store.finish_unit(scope, unit.id, unit.fence, {"old_path": base_path, "new_path": out, **report})
            self.store.renew_lease(lease, ttl_ms=self.lease_ms)
            context.report.checkpoint()
            done = sum(1 for each in self.store.units(scope) if each.state is UnitState.DONE)
            context.report.progress(Progress(done, len(units), "files"))
        if len(swaps_of(self.store, scope)) < len(units):
            # Never publish a part: rows of the other files would read as null.
            raise Conflict(
                "promotion.leased",
                f"files of {self.run_id} are held by another worker",
                fix=f"wait a moment, then `%backfill promote {self.run_id}`",
            )

    def _check(self, context: StepContext, swaps: Sequence[Swap], field_ids: Mapping[str, int]) -> None:
        """Compare the bytes on the branch with the base files and with the audited staged files."""
        staged: dict[str, StagedFile] = {file.base_path: file for file in staged_files(self.store, self.run_id)}
        for swap in swaps:
            addition = Addition(staged[swap.old_path].path, field_ids)
            differs = self.splicer.unchanged(swap.old_path, [addition], swap.new_path)
            if differs:
                raise DataError(
                    "promotion.bytes",
                    f"column {differs!r} of a spliced file differs from what was audited",
                    fix=f"check the disk; then `%backfill rollback {self.run_id}` and run the cell again",
                    where=swap.new_path,
                )
        context.report.log(f"{len(staged)} spliced files: old columns and audited new ones are byte for byte equal")
