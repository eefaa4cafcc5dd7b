"""Roll back: leave the table as if the run had not been promoted, and touch no other run's column.

A file that holds nothing but this run's columns is swapped back; from any other only this run's
chunks are left out, or, where it replaced a column, the chunks from before are put back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from nbplat.backfill.attempt import Attempts
from nbplat.backfill.landing import Action, Change, Source
from nbplat.backfill.lease import TableLease
from nbplat.backfill.outcomes import landed_units
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Publication, SchemaChange, Tables
from nbplat.backfill.promote import promote_scope
from nbplat.errors import Conflict, NotFound
from nbplat.job import StepContext
from nbplat.terms import Progress, SnapshotPin, root_of

__all__ = ["Undoer"]


@dataclass(frozen=True, slots=True)
class Undoer:
    """Runs the roll-back step of one plan."""

    plan: BackfillPlan
    run_id: str
    attempts: Attempts

    def run(self, context: StepContext, outputs: Mapping[str, Any], *, drop_column: bool = False) -> dict[str, Any]:
        """Take the run's columns out of the table when it was promoted; drop its staging table when not.

        Args:
            drop_column: Only drop new columns from the schema: no file is touched.

        Returns:
            The run's outputs: ``reverted`` (a publication record, or None when nothing was public).

        Raises:
            Conflict: another promoted run filled one of its columns since, or a replaced column's values
                from before are gone with their snapshot.
        """
        base = self.plan.base
        with self.attempts.hold(base.table, self.run_id, context) as lease:
            reverted = self._reverted(outputs)
            published = None if reverted else self._published(outputs)
            report: dict[str, Any] = {}
            if published is not None:
                reverted, report = self._revert(context, lease, published, outputs, drop_column)
            elif reverted is None:
                self.attempts.publisher.sweep(base)
                if outputs.get("staging_table"):
                    self.attempts.publisher.drop_staging(str(outputs["staging_table"]))
            context.report.progress(Progress(1, 1, "commits"))
        return {"reverted": reverted.record() if reverted else None, **({"undoing": report} if report else {})}

    def _reverted(self, outputs: Mapping[str, Any]) -> Publication | None:
        """What an earlier try of this roll back did."""
        try:
            return self.attempts.publisher.published(self.plan.base, self.run_id, "rollback")
        except (Conflict, NotFound):
            if outputs.get("publication"):
                raise
            return None  # nothing of a run that was never public can be left in a table that is gone

    def _published(self, outputs: Mapping[str, Any]) -> Publication | None:
        """The promotion to undo; by the ledger when its snapshot has left main's history."""
        try:
            found = self.attempts.publisher.published(self.plan.base, self.run_id)
        except (Conflict, NotFound):
            if outputs.get("publication"):
                raise
            return None
        if found is None and outputs.get("publication"):
            return Publication(**outputs["publication"])
        return found

    def _revert(
        self,
        context: StepContext,
        lease: TableLease,
        published: Publication,
        outputs: Mapping[str, Any],
        drop_column: bool,
    ) -> tuple[Publication, dict[str, Any]]:
        plan, base = self.plan, self.plan.base
        filled = {c.name: c.field_id for c in plan.columns if c.field_id is not None}
        added = frozenset(number for name, number in published.field_ids.items() if name not in filled)
        self._refuse_later(published)
        if drop_column and filled:
            raise Conflict(
                "rollback.replaced",
                f"{self.run_id} filled {', '.join(filled)}, which the table had before: dropping it is no roll back",
                fix=f"`%backfill rollback {self.run_id}` without --drop-column puts the old values back",
            )
        scope = str(dict(outputs.get("landing") or {}).get("scope") or promote_scope(self.run_id))
        publisher = self.attempts.publisher
        units = landed_units(self.attempts.store, scope, publisher.restorable(base, published.snapshot_id))
        ours = [unit for unit in units if self.run_id in unit["runs"]]
        past = publisher.restorable(base, published.previous_snapshot_id)
        before = SnapshotPin(base.table, base.table_uuid, published.previous_snapshot_id, published.previous_schema_id)
        changes = [] if drop_column else self._changes(published, ours, filled, added, past)
        whole = {
            unit["new_path"]: unit["live_path"]
            for unit in ours
            if unit["action"] == Action.SPLICE and unit["runs"] == [self.run_id] and unit["live_path"] in past
        }
        old_values = _Before(plan.keys, before, self.attempts.tables)
        with self.attempts.branch(base, lease, SchemaChange(), {}):
            lander = self.attempts.lander(
                base,
                self.run_id,
                f"{self.run_id}/rollback",
                {change.run_id: old_values for change in changes},
                lease,
                context,
                restore={} if drop_column else whole,
                before=published.previous_snapshot_id,
            )
            properties = {
                "nbplat.run": self.run_id,
                "nbplat.step": "rollback",
                "nbplat.runs": json.dumps({self.run_id: {"columns": dict(published.field_ids)}}),
            }
            landed = lander.land(
                changes,
                SchemaChange(remove=added),
                properties,
                keep_schemas=self.attempts.keep_schemas,
                must_land=False,
            )
        return landed.publication, landed.report

    def _refuse_later(self, published: Publication) -> None:
        later = self.attempts.publisher.later_runs(self.plan.base, self.run_id, set(published.field_ids.values()))
        if later:
            raise Conflict(
                "rollback.built_on",
                f"{', '.join(later)} filled columns of {self.run_id} since",
                fix=f"roll back {later[0]} first",
            )

    def _changes(
        self,
        published: Publication,
        units: Sequence[Mapping[str, Any]],
        filled: Mapping[str, int],
        added: frozenset[int],
        past: frozenset[str],
    ) -> list[Change]:
        """New columns leave our files; each column that was filled gets its old values, wherever its rows are now."""
        roots = frozenset(root_of(unit["live_path"]) for unit in units)
        changes = [Change(self.run_id, {}, added, roots=roots)] if added else []
        for name, number in filled.items():
            held = {unit["live_path"] for unit in units if number in unit["drop"]}
            if not held <= past:
                raise Conflict(
                    "snapshot.expired",
                    f"the files with the old values of {name!r} went with snapshot {published.previous_snapshot_id}",
                    fix="the old values are gone; compute them again with --replace",
                )
            sources = {unit["live_path"]: _old_source(unit, unit["live_path"] in held) for unit in units}
            changes.append(Change(f"{self.run_id}:{name}", {name: number}, sources=sources))
        return changes


def _old_source(unit: Mapping[str, Any], held: bool) -> Source:
    """The file from before a promotion, as the source of a column's old values."""
    path = str(unit["live_path"])
    aligned = unit["action"] == Action.SPLICE
    return Source(path, path if held else "", int(unit["rows"]) if aligned else -1, aligned, "")


@dataclass(frozen=True, slots=True)
class _Before:
    """Values as they were before a promotion."""

    keys: tuple[str, ...]
    key_pin: SnapshotPin
    tables: Tables

    def read(self, sources: Sequence[Source], columns: Sequence[str]) -> pa.Table:
        return self.tables.read(self.key_pin, columns, paths=[source.path for source in sources])

    def refuse_changed(self, sources: Sequence[Source], live: SnapshotPin, path: str) -> None:
        """Whatever else has changed in a row: this column had this value."""
