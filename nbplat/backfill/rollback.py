"""Roll back: leave the table as if the run had not been promoted, and touch no other run's column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Publication, Publisher
from nbplat.backfill.promote import promote_scope, promotion_lease, swaps_of
from nbplat.job import JobStore, StepContext
from nbplat.terms import Progress

__all__ = ["Undoer"]


@dataclass(frozen=True, slots=True)
class Undoer:
    """Runs the roll-back step of one plan."""

    plan: BackfillPlan
    run_id: str
    publisher: Publisher
    store: JobStore
    lease_ms: int

    def run(self, context: StepContext, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Swap the old files back when the run was promoted; drop its staging table and branch when not.

        Returns:
            The run's outputs: ``reverted`` (a publication record, or None when nothing was public).

        Raises:
            Conflict: another run built on these files, or the table changed in them since.
        """
        table = self.plan.base.table
        lease = self.store.take_lease(promotion_lease(table), self.run_id, ttl_ms=self.lease_ms)
        try:
            reverted = None
            published = self.publisher.published(self.plan.base, self.run_id)
            if published is not None:
                swaps = swaps_of(self.store, promote_scope(self.run_id, published.field_ids))
                reverted = self.publisher.revert(published, table, self.run_id, swaps)
            elif not outputs.get("publication"):
                # With a publication in the ledger an earlier try has reverted it already.
                self.publisher.drop_branch(table, self.run_id)
                if outputs.get("staging_table"):
                    self.publisher.drop_staging(str(outputs["staging_table"]))
            context.report.progress(Progress(1, 1, "commits"))
            return {"reverted": _record(reverted)}
        finally:
            self.store.release_lease(lease)


def _record(publication: Publication | None) -> dict[str, Any] | None:
    return publication.record() if publication else None
