"""Promote: land the audited columns of one run, or of a train of runs, on the live files, and move main.

Nothing shows in main until the one compare-and-swap at the end. See `nbplat.backfill.landing` for what
becomes of each file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from nbplat.backfill.attempt import Attempts
from nbplat.backfill.audit.rules import Unchanged
from nbplat.backfill.land import Landed
from nbplat.backfill.landing import Action, Change, Source
from nbplat.backfill.lease import TableLease
from nbplat.backfill.outcomes import landed_units, report_of
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Publication, SchemaChange, StagedWriter, Tables
from nbplat.backfill.realign import key_positions, unequal_rows
from nbplat.backfill.states import KIND, RunState
from nbplat.errors import Conflict
from nbplat.job import StepContext
from nbplat.terms import SnapshotPin, StagedFile, TableName, root_of

__all__ = ["Member", "Promoter", "promote_scope", "schema_change"]


def promote_scope(run_id: str) -> str:
    """The ledger scope of the files that a run's promotions make; a unit's id says what it was made of."""
    return f"{run_id}/promote"


def schema_change(plans: Sequence[BackfillPlan]) -> SchemaChange:
    """What promoting these plans does to the schema; new columns have no ids yet."""
    columns = [column for plan in plans for column in plan.columns]
    return SchemaChange(
        add=tuple(column for column in columns if column.field_id is None),
        keep={column.name: column.field_id for column in columns if column.field_id is not None},
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One run of a promotion.

    Attributes:
        staged: Its files, one a unit.
        about: What the snapshot's summary says of it.
    """

    run_id: str
    plan: BackfillPlan
    staged: tuple[StagedFile, ...]
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Promoter:
    """Runs the promotion step.

    Attributes:
        members: The run that leads first; all of one table.
    """

    members: tuple[Member, ...]
    attempts: Attempts

    @property
    def lead(self) -> Member:
        """The run whose job this is."""
        return self.members[0]

    def run(self, context: StepContext, reserved: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Promote.

        Args:
            reserved: Field ids that an earlier try reserved.

        Returns:
            Outputs of each run: ``publication``, ``landing`` and what was copied.

        Raises:
            Conflict: a column of that name came meanwhile or the one to fill went, no row is left to land
                on, inputs changed, another promotion kept the table too long, or took it over.
            DataError: the new files are not what was audited.
        """
        base, publisher = self.lead.plan.base, self.attempts.publisher
        with self.attempts.hold(base.table, self.lead.run_id, context) as lease:
            published = publisher.published(base, self.lead.run_id)
            if published is None:
                landed = self._land(context, lease, reserved)
            else:
                # An earlier try got as far as this and was killed before it could say so.
                live = publisher.restorable(base, published.snapshot_id)
                landed = Landed(published, report_of(landed_units(self.attempts.store, self._scope, live)))
            done = {member.run_id: publisher.published(base, member.run_id) for member in self.members}
        return {member.run_id: self._outputs(landed, done[member.run_id]) for member in self.members}

    @property
    def _scope(self) -> str:
        return promote_scope(self.lead.run_id)

    def _land(self, context: StepContext, lease: TableLease, reserved: Mapping[str, int]) -> Landed:
        base, change = self.lead.plan.base, schema_change([member.plan for member in self.members])
        tools = self.attempts
        with tools.branch(base, lease, change, reserved) as ids:
            tools.store.move_run(
                KIND, self.lead.run_id, RunState.PROMOTING, frm=[RunState.PROMOTING], outputs={"reserved": ids}
            )
            values = {member.run_id: _Staged(member, tools.tables, tools.writer, {}) for member in self.members}
            ids = {**ids, **change.keep}
            return tools.lander(base, self.lead.run_id, self._scope, values, lease, context).land(
                [_change(member, ids) for member in self.members],
                replace(change, field_ids=ids),
                self._summary(ids),
                tag=f"nb-pre-{self.lead.run_id.replace('@', '-')}",
                keep_schemas=tools.keep_schemas,
            )

    def _summary(self, ids: Mapping[str, int]) -> dict[str, str]:
        """Of the snapshot: what the ledger needs to know the runs again from the table alone."""
        runs = {
            member.run_id: {
                "columns": {column.name: ids[column.name] for column in member.plan.columns},
                "filled": [column.name for column in member.plan.columns if column.field_id is not None],
                **{key.removeprefix("nbplat."): value for key, value in member.about.items()},
            }
            for member in self.members
        }
        own = {column.name: ids[column.name] for member in self.members for column in member.plan.columns}
        return {**self.lead.about, "nbplat.field_ids": json.dumps(own), "nbplat.runs": json.dumps(runs)}

    def _outputs(self, landed: Landed, found: Publication | None) -> dict[str, Any]:
        """Of one member; `found` holds its own field ids."""
        report = landed.report
        count = {name: _files(report, name) for name in (Action.SPLICE, Action.REWRITE)}
        # No try publishes before it has compared its files.
        finding = Unchanged.of_files(count[Action.SPLICE], count[Action.REWRITE])
        return {
            "publication": replace(landed.publication, field_ids=found.field_ids if found else {}).record(),
            "landing": {"scope": self._scope, "runs": [each.run_id for each in self.members], **report},
            "unchanged": finding.record(),
            "copied_bytes": report["copied_bytes"],
            "added_bytes": report["added_bytes"],
            "spliced_files": count[Action.SPLICE],
        }


def _files(report: Mapping[str, Any], action: str) -> int:
    return sum(int(row["files"]) for row in report["actions"] if row["action"] == action)


def _change(member: Member, ids: Mapping[str, int]) -> Change:
    names = {column.name for column in member.plan.columns}
    own = {path: number for path, number in ids.items() if path.split(".")[0] in names}
    return Change(
        run_id=member.run_id,
        adds={name: number for name, number in own.items() if name in names},
        nested={path: number for path, number in own.items() if path not in names},
        sources={
            file.base_path: Source(file.base_path, file.path, file.rows, file.dense, file.key_digest)
            for file in member.staged
        },
    )


@dataclass(frozen=True, slots=True)
class _Staged:
    """Values of a staged run."""

    member: Member
    tables: Tables
    writer: StagedWriter
    _then: dict[tuple[str, ...], pa.Table]

    @property
    def keys(self) -> tuple[str, ...]:
        return self.member.plan.keys

    @property
    def key_pin(self) -> SnapshotPin:
        return self.member.plan.base

    def read(self, sources: Sequence[Source], columns: Sequence[str]) -> pa.Table:
        wanted = {source.path for source in sources}
        return pa.concat_tables(
            [self.writer.read(file, columns) for file in self.member.staged if file.path in wanted],
            promote_options="permissive",
        )

    def refuse_changed(self, sources: Sequence[Source], live: SnapshotPin, path: str) -> None:
        """Rows that another writer moved must have the inputs that the feature was computed from."""
        plan = self.member.plan
        now = {column.name for column in self.tables.describe(TableName.parse(plan.base.table)).columns}
        inputs = [name for name in plan.base_columns if name not in plan.keys and name in now]
        moved = tuple(sorted(s.base_path for s in sources if root_of(s.base_path) != root_of(path)))
        if not moved or not inputs:
            return
        if moved not in self._then:
            self._then.clear()
            try:
                self._then[moved] = self.tables.read(plan.base, [*plan.keys, *inputs], paths=moved)
            except Conflict as gone:
                if gone.code != "snapshot.expired":
                    raise
                return  # what the rows were cannot be known any more
        then = self._then[moved]
        rows = self.tables.read(replace(live, schema_id=plan.base.schema_id), then.column_names, paths=[path])
        at = key_positions(rows, then, plan.keys)
        known = pa.array(at >= 0)
        before, after = then.take(pa.array(at[at >= 0])), rows.filter(known)
        for name in inputs:
            if changed := unequal_rows(before[name], after[name]):
                run_id = self.member.run_id
                raise Conflict(
                    "promotion.base_changed",
                    f"{changed} rows of {plan.base.table} have another {name} than {run_id} was computed from",
                    fix=f"stage on the present snapshot: `%backfill rollback {run_id}`, then the cell again",
                    where=path,
                )
