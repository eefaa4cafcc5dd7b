"""Carry out a landing: make the new files, put them on a branch, compare them, move main; again where main moved.

Each file is a unit in the ledger. When main moves only files that changed are done again: the others
are found by what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbplat.backfill.audit.rules import Unchanged
from nbplat.backfill.landing import Action, Change, FileAction, plan_landing
from nbplat.backfill.make_file import FileMaker
from nbplat.backfill.outcomes import file_change, report_of
from nbplat.backfill.ports import Addition, Publication, Publisher, SchemaChange, TableView
from nbplat.backfill.realign import unequal_rows
from nbplat.backfill.stage import release_dead_tries
from nbplat.errors import Conflict, DataError, NbplatError, RemoteError
from nbplat.job import JobStore, StepContext, UnitState
from nbplat.terms import Progress, SnapshotPin

__all__ = ["Landed", "Lander"]

_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Landed:
    """A landing that is public.

    Attributes:
        report: What was done: counts per action and reason, bytes.
    """

    publication: Publication
    report: dict[str, Any]


@dataclass(slots=True)
class Lander:
    """Lands changes on one table.

    Attributes:
        run_id: The run that leads.
        scope: Of the units in the ledger.
        branch: Of this try.
        restore: New path -> old path; see `plan_landing`.
        before: Snapshot with the records of restored files.
        guard: Raises when this try was overtaken; called before every commit.
        keep: Called between files; renews what `guard` looks at from time to time.
    """

    base: SnapshotPin
    run_id: str
    scope: str
    branch: str
    maker: FileMaker
    publisher: Publisher
    store: JobStore
    context: StepContext
    lease_ms: int
    max_attempts: int
    guard: Callable[[], None]
    keep: Callable[[], None]
    restore: Mapping[str, str] = field(default_factory=dict)
    before: int | None = None
    _checked: set[str] = field(default_factory=set)

    def land(
        self,
        changes: Sequence[Change],
        schema: SchemaChange,
        properties: Mapping[str, str],
        *,
        tag: str | None = None,
        keep_schemas: Collection[int] = (),
        must_land: bool = True,
    ) -> Landed:
        """Land and publish.

        Args:
            must_land: Refuse when no file took a value of a run that brings some.

        Raises:
            Conflict: nothing to land on, inputs that changed, a schema that clashes, a lost lease.
            DataError: files on the branch that are not what they should be.
            RemoteError: main kept moving.
        """
        for replays in range(_ROUNDS):
            view = self.publisher.view(self.base)
            actions = plan_landing(view.files, changes, self.restore)
            outcomes = self._make(view, actions, changes)
            if must_land:
                self._refuse_empty(changes, outcomes)
            files = [file_change(outcome) for outcome in outcomes if outcome["action"] != Action.KEEP]
            head = self.publisher.put(view, self.branch, files, schema, properties, self.guard, before=self.before)
            if head is None:
                self._say_moved()
                continue
            self._check(view, head.pin, outcomes)
            published = self.publisher.publish(head, tag, self.guard, keep_schemas)
            if published is None:
                self._say_moved()
                continue
            return Landed(replace(published, replays=replays), report_of(outcomes))
        raise RemoteError(
            "catalog.contended",
            f"{self.base.table} kept moving for {_ROUNDS} tries",
            fix="do it again when fewer writers are busy",
        )

    def _say_moved(self) -> None:
        self.context.report.log(f"{self.base.table} moved meanwhile: files that changed are done again")

    # -- making files ----------------------------------------------------------------------------
    def _make(self, view: TableView, actions: Sequence[FileAction], changes: Sequence[Change]) -> list[dict[str, Any]]:
        """Every action's outcome, those that were done before included."""
        todo = {action.id: action for action in actions if action.action is not Action.KEEP}
        by_run = {change.run_id: change for change in changes}
        store, scope = self.store, self.scope
        if todo:
            store.plan_units(scope, sorted(todo))
        release_dead_tries(store, scope, self.context)
        store.reset_failed_units(scope)
        ready = sum(unit.state is UnitState.DONE and unit.id in todo for unit in store.units(scope))
        self.context.report.progress(Progress(ready, len(todo), "files"))
        while claimed := store.claim_units(
            scope, self.context.worker, limit=1, lease_ms=self.lease_ms, max_attempts=self.max_attempts
        ):
            [unit] = claimed
            action = todo.get(unit.id)
            if action is None:
                # Planned by a try on a table that has moved on.
                store.finish_unit(scope, unit.id, unit.fence, {"action": "left out"})
                continue
            try:
                outcome = self.maker.make(view, action, by_run, f"{self.run_id}-{unit.id}", unit.fence)
            except NbplatError as error:
                store.fail_unit(scope, unit.id, unit.fence, error.record())
                raise
            ready += store.finish_unit(scope, unit.id, unit.fence, outcome)
            self.keep()
            self.context.report.checkpoint()
            self.context.report.progress(Progress(ready, len(todo), "files"))
        done = {unit.id: unit.result for unit in store.units(scope) if unit.state is UnitState.DONE}
        if left := [number for number in todo if number not in done]:
            # Never publish a part: rows of the other files would read as null.
            raise Conflict(
                "promotion.leased",
                f"{len(left)} files of {self.run_id} are held by another worker",
                fix=f"wait a moment, then `%backfill promote {self.run_id}`",
            )
        kept = [
            {"action": Action.KEEP, "reason": action.reason, "live_path": action.file.path, "runs": []}
            for action in actions
            if action.action is Action.KEEP
        ]
        return [*(dict(done[number] or {}) for number in todo), *kept]

    # -- judging them ----------------------------------------------------------------------------
    def _refuse_empty(self, changes: Sequence[Change], outcomes: Sequence[Mapping[str, Any]]) -> None:
        landed = {run for outcome in outcomes for run in outcome["runs"]}
        for change in changes:
            if change.adds and change.run_id not in landed:
                raise Conflict(
                    "promotion.base_changed",
                    f"no data file of {self.base.table} holds a row that {change.run_id} was staged for",
                    fix=f"stage on the present snapshot: `%backfill rollback {change.run_id}`, then the cell again",
                )

    def _check(self, view: TableView, branch: SnapshotPin, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Compare new files with the live ones and with what was audited; each file once."""
        fresh = [outcome for outcome in outcomes if outcome.get("new_path") not in {None, *self._checked}]
        for outcome in fresh:
            differs = None
            if outcome["action"] == Action.SPLICE:
                differs = self.maker.splicer.unchanged(
                    outcome["live_path"],
                    [Addition(**addition) for addition in outcome["additions"]],
                    outcome["new_path"],
                    drop=frozenset(outcome["drop"]),
                    name_ids=view.names,
                )
            elif outcome["action"] == Action.REWRITE and outcome["rows"]:
                differs = self._unequal(view, branch, outcome)
            if differs:
                raise DataError(
                    "promotion.bytes",
                    f"column {differs!r} of a new file differs from what it was made of",
                    fix=f"check the disk; then `%backfill rollback {self.run_id}` and run the cell again",
                    where=outcome["new_path"],
                )
            self._checked.add(outcome["new_path"])
        found = Counter(str(outcome["action"]) for outcome in fresh)
        self.context.report.log(Unchanged.of_files(found[Action.SPLICE], found[Action.REWRITE]).message)

    def _unequal(self, view: TableView, branch: SnapshotPin, outcome: Mapping[str, Any]) -> str | None:
        """The first column of a rewritten file that does not hold the live rows' values."""
        names = [name for name, number in view.columns.items() if number not in outcome["drop"]]
        before = self.maker.tables.read(view.pin, names, paths=[outcome["live_path"]])
        after = self.maker.tables.read(
            replace(branch, schema_id=view.pin.schema_id), names, paths=[outcome["new_path"]]
        )
        if before.num_rows != after.num_rows:
            return names[0]
        return next((name for name in names if unequal_rows(before[name], after[name])), None)
