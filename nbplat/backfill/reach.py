"""How far a promoted column reaches: the runs that made and extended it, and the files that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbplat.backfill.extend import uncovered
from nbplat.backfill.outcomes import landed_units
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Publisher, TableView
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.states import KIND, LIVE_STATES
from nbplat.errors import Conflict
from nbplat.job import JobStore, Run

__all__ = ["Reach"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Looks into the ledger and at the table; changes nothing."""

    store: JobStore
    publisher: Publisher

    def chain(self, run_id: str) -> list[Run]:
        """A run, what it extends and what extends it, newest first; what was rejected or rolled back is left out."""
        run = self.store.run(KIND, run_id)
        live = [each for each in self.store.runs(KIND, name=run.name) if each.state in LIVE_STATES]
        chain = {run_id}
        while len(chain) < len(grown := {*chain, *_linked(live, chain)}):
            chain = grown
        return [each for each in live if each.id in chain]

    def lacking(self, spec: BackfillSpec) -> frozenset[str] | None:
        """The files that an extension takes; None for any other request."""
        if not spec.extends:
            return None
        run = self.store.run(KIND, spec.extends)
        view, lacking = self.view(run)
        # Where the old window ended, the file in which it did is filled on from there.
        ended = BackfillPlan.from_record(run.plan).window.end is not None
        return frozenset(file.path for file in view.files) if ended else lacking

    def view(self, run: Run) -> tuple[TableView, frozenset[str]]:
        """The table of a promoted run now, and the files that lack its columns.

        Raises:
            Conflict: ``column.dropped``, when the table has one of them no more.
        """
        plan = BackfillPlan.from_record(run.plan)
        view = self.publisher.view(plan.base)
        ids = dict(run.outputs["publication"]["field_ids"])
        if gone := [name for name, number in ids.items() if number not in view.columns.values()]:
            raise Conflict(
                "column.dropped",
                f"{plan.base.table} has no column {gone[0]!r} of {run.id} any more",
                fix="run the cell again: it makes the column anew",
            )
        return view, uncovered(view.files, ids.values(), self.landed(run))

    def landed(self, run: Run) -> frozenset[str]:
        """Every file that the columns of a run's chain were put into, at any time."""
        return frozenset(
            unit["new_path"]
            for each in self.chain(run.id)
            if each.outputs.get("landing")
            for unit in landed_units(self.store, each.outputs["landing"]["scope"], ())
        )


def _linked(runs: Sequence[Run], chain: set[str]) -> set[str]:
    """What runs of a chain extend, and what extends them."""
    behind = {str(run.spec["extends"]) for run in runs if run.id in chain and run.spec.get("extends")}
    return behind | {run.id for run in runs if run.spec.get("extends") in chain}
