"""Carry out a landing: make the new files, put them on a branch, compare them, move main; again where main moved.

Each file is a unit in the ledger. When main moves only files that changed are done again: the others
are found by what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from nbplat.backfill.failures import our_errors
from nbplat.backfill.landing import Action, Change, FileAction, Match, Part, Source, plan_landing
from nbplat.backfill.ports import (
    Addition,
    FileChange,
    Publication,
    Publisher,
    SchemaChange,
    Splicer,
    StagedWriter,
    Tables,
    TableView,
)
from nbplat.backfill.realign import key_positions, take_rows, unequal_rows
from nbplat.backfill.stage import release_dead_tries
from nbplat.errors import Conflict, DataError, NbplatError, RemoteError
from nbplat.job import JobStore, StepContext, UnitState
from nbplat.remote.align import key_digest
from nbplat.remote.write import write_staged
from nbplat.terms import Progress, SnapshotPin

__all__ = ["Landed", "Lander", "Values", "landed_units", "report_of"]

_ROUNDS = 10
# What the splicer says of a file that it cannot land on as it is.
_CLASH = "splice.column_exists"
_REALIGN = frozenset({"splice.row_groups", "splice.column_missing"})


class Values(Protocol):
    """Where a run's values come from."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that identify a row."""

    @property
    def key_pin(self) -> SnapshotPin:
        """Its schema names the keys."""

    def read(self, sources: Sequence[Source], columns: Sequence[str]) -> pa.Table:
        """Rows of the sources, in their order."""

    def refuse_changed(self, sources: Sequence[Source], live: SnapshotPin, path: str) -> None:
        """Raise Conflict when rows of a live file are not those that the values were computed from."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A landing that is public.

    Attributes:
        report: What was done: counts per action and reason, bytes.
    """

    publication: Publication
    report: dict[str, Any]


def landed_units(store: JobStore, scope: str, live: Collection[str]) -> list[dict[str, Any]]:
    """Results of the scope's files that are among `live`; with an empty `live`, of all that were made."""
    done = [dict(unit.result) for unit in store.units(scope) if unit.state is UnitState.DONE and unit.result]
    return [result for result in done if result.get("new_path") and (not live or result["new_path"] in live)]


@dataclass(slots=True)
class Lander:
    """Lands changes on one table.

    Attributes:
        run_id: The run that leads.
        scope: Of the units in the ledger.
        branch: Of this try.
        values: Where each run's values come from.
        restore: New path -> old path; see `plan_landing`.
        before: Snapshot with the records of restored files.
        guard: Raises when this try was overtaken; called before every commit.
        keep: Called between files; renews what `guard` looks at from time to time.
    """

    base: SnapshotPin
    run_id: str
    scope: str
    branch: str
    tables: Tables
    splicer: Splicer
    writer: StagedWriter
    publisher: Publisher
    store: JobStore
    context: StepContext
    lease_ms: int
    max_attempts: int
    guard: Callable[[], None]
    keep: Callable[[], None]
    values: Mapping[str, Values]
    restore: Mapping[str, str] = field(default_factory=dict)
    before: int | None = None
    _checked: set[str] = field(default_factory=set)
    _loaded: dict[tuple[str, ...], pa.Table] = field(default_factory=dict)

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
            files = [_file_change(outcome) for outcome in outcomes if outcome["action"] != Action.KEEP]
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
                outcome = self._do(view, action, by_run, f"{self.run_id}-{unit.id}", unit.fence)
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

    def _do(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> dict[str, Any]:
        """Carry out one action: the one place where each kind is done."""
        match action.action:
            case Action.RESTORE:
                return _outcome(action, action.old_path, action.file.rows, (), frozenset(), {})
            case Action.REWRITE:
                return self._rewrite(view, action, changes, name, fence)
            case Action.SPLICE:
                return self._splice(view, action, changes, name, fence)
            case Action.KEEP:
                raise AssertionError("nothing is done with a file that is kept")

    def _splice(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> dict[str, Any]:
        out = self.splicer.target_path(action.file.path, name, fence)
        drop = action.drop
        parts, additions = self._additions(view, action, changes, name, fence)
        if not additions and not drop:
            return _kept(action, "holds no row of the run")
        for _ in range(3):
            try:
                report = self.splicer.splice(
                    action.file.path, [each for _, each in additions], out, drop=drop, name_ids=view.names
                )
            except DataError as error:
                if error.code in _REALIGN and any(part.match is not Match.KEY for part, _ in additions):
                    by_key = replace(action, parts=tuple(replace(p, match=Match.KEY) for p in action.parts))
                    parts, additions = self._additions(view, by_key, changes, name, fence)
                    continue
                dead = action.file.columns - set(view.columns.values()) - drop
                if error.code == _CLASH and dead:
                    # A column that was dropped from the schema still has a chunk of this name here.
                    drop |= dead
                    continue
                if error.code in {_CLASH, *_REALIGN}:
                    return self._rewrite(view, replace(action, reason=error.message), changes, name, fence)
                raise
            kept = replace(action, parts=tuple(parts))
            return _outcome(kept, out, action.file.rows, [each for _, each in additions], drop, report)
        return self._rewrite(view, action, changes, name, fence)

    def _additions(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> tuple[list[Part], list[tuple[Part, Addition]]]:
        """Per part that brings values to this file, the aligned file to take them from."""
        parts: list[Part] = []
        additions: list[tuple[Part, Addition]] = []
        for part in action.parts:
            change = changes[part.run_id]
            if part.match is Match.NONE:
                parts.append(part)
                continue
            ids = {**change.adds, **change.nested}
            if part.match is not Match.KEY and self._aligned(view, action, part, change):
                additions.append((part, Addition(change.sources[part.sources[0]].path, ids)))
                parts.append(part)
                continue
            by_key = replace(part, match=Match.KEY)
            values = self._by_key(view, action, by_key, change)
            if values is not None:
                keys, columns = values
                for column in columns.column_names:
                    keys = keys.append_column(columns.schema.field(column), columns[column])
                path = self._write_aligned(view, action, part.run_id, keys, fence)
                additions.append((by_key, Addition(path, ids)))
                parts.append(by_key)
        return parts, additions

    def _write_aligned(self, view: TableView, action: FileAction, run_id: str, columns: pa.Table, fence: int) -> str:
        """A staged file for a live file, beside the run's others, under a name that no unit of staging has."""
        with our_errors():
            staged = write_staged(
                columns,
                base_path=action.file.path,
                out=self.writer.folder(run_id.partition(":")[0], view.pin.table),
                unit=f"key-{action.id}",
                fence=fence,
                positions=None,
                groups=self.splicer.layout(action.file.path).group_rows,
                digest="",
                storage=self.tables.storage(view.pin),
            )
        return str(staged["path"])

    def _rewrite(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> dict[str, Any]:
        """Decode the live rows, add the columns by key, encode."""
        [read] = self.tables.reads(view.pin, [action.file.path])
        live = read.rows - len(read.deleted) // 8
        fields: list[pa.Field] = []
        added: list[pa.ChunkedArray] = []
        parts = []
        for part in action.parts:
            change = changes[part.run_id]
            values = None
            if change.adds and part.sources:
                values = self._by_key(view, action, replace(part, match=Match.KEY), change)
            if values is not None:
                ids = {**change.adds, **change.nested}
                for column in change.adds:
                    fields.append(_with_ids(values[1].schema.field(column), column, ids))
                    added.append(values[1][column])
            if values is not None or part.drop:
                parts.append(part)
        if not parts:
            return _kept(action, "holds no row of the run")
        gone = frozenset(number for part in parts for number in part.drop)
        held = action.file.columns - gone
        names = [column for column, number in view.columns.items() if number in held]
        paths = {".".join(path): number for path, number in view.fields.items()}
        schema = pa.schema([_with_ids(each, each.name, paths) for each in self.tables.schema(view.pin, names)])
        out = self.splicer.target_path(action.file.path, name, fence)
        report = self.splicer.rewrite(read, schema, _table(added, fields), out, names=self.tables.names(view.pin))
        done = replace(action, action=Action.REWRITE, parts=tuple(parts))
        return _outcome(done, out, live, (), gone, report)

    def _aligned(self, view: TableView, action: FileAction, part: Part, change: Change) -> bool:
        if part.match is Match.SAME:
            return True
        source, values = change.sources[part.sources[0]], self.values[part.run_id]
        digest = source.digest or key_digest(values.read([source], values.keys))
        return key_digest(self._live_keys(view, action.file.path, values)) == digest

    def _by_key(
        self, view: TableView, action: FileAction, part: Part, change: Change
    ) -> tuple[pa.Table, pa.Table] | None:
        """The live keys of a file and the run's columns for them; None when it has no row of the run."""
        values, names = self.values[part.run_id], list(change.adds)
        sources = [change.sources[path] for path in part.sources]
        have = self._load(values, sources, names)
        keys = self._live_keys(view, action.file.path, values)
        at = key_positions(keys, have, values.keys)
        if not (at >= 0).any():
            return None
        values.refuse_changed(sources, view.pin, action.file.path)
        old = None
        if (at < 0).any():
            now = {number: name for name, number in view.columns.items()}
            stays = [now.get(number) if number in action.file.columns else None for number in change.adds.values()]
            kept = [name for name in stays if name]
            rows = self.tables.read(view.pin, kept, paths=[action.file.path]) if kept else None
            old = [rows[name] if rows is not None and name else None for name in stays]
        return keys, take_rows(have.select(names), at, old)

    def _load(self, values: Values, sources: Sequence[Source], names: Sequence[str]) -> pa.Table:
        key = (*(source.path for source in sources), *names)
        if key not in self._loaded:
            if len(self._loaded) > 1:
                self._loaded.clear()
            self._loaded[key] = values.read(sources, [*values.keys, *names])
        return self._loaded[key]

    def _live_keys(self, view: TableView, path: str, values: Values) -> pa.Table:
        pin = replace(view.pin, schema_id=values.key_pin.schema_id)
        return self.tables.read(pin, values.keys, paths=[path])

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
                differs = self.splicer.unchanged(
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
        said = f"{found[Action.SPLICE]} spliced files are byte for byte what they were made of"
        if found[Action.REWRITE]:
            said += f", {found[Action.REWRITE]} rewritten ones are value for value"
        self.context.report.log(said)

    def _unequal(self, view: TableView, branch: SnapshotPin, outcome: Mapping[str, Any]) -> str | None:
        """The first column of a rewritten file that does not hold the live rows' values."""
        names = [name for name, number in view.columns.items() if number not in outcome["drop"]]
        before = self.tables.read(view.pin, names, paths=[outcome["live_path"]])
        after = self.tables.read(replace(branch, schema_id=view.pin.schema_id), names, paths=[outcome["new_path"]])
        if before.num_rows != after.num_rows:
            return names[0]
        return next((name for name in names if unequal_rows(before[name], after[name])), None)


def _outcome(
    action: FileAction,
    new_path: str,
    rows: int,
    additions: Sequence[Addition],
    drop: frozenset[int],
    report: Mapping[str, int],
) -> dict[str, Any]:
    """What was done with a file, as its unit keeps it."""
    return {
        "action": str(action.action),
        "reason": action.reason,
        "live_path": action.file.path,
        "new_path": new_path,
        "rows": rows,
        "additions": [{"path": each.path, "field_ids": dict(each.field_ids)} for each in additions],
        "drop": sorted(drop),
        "runs": [part.run_id for part in action.parts],
        **report,
    }


def _kept(action: FileAction, reason: str) -> dict[str, Any]:
    return {"action": str(Action.KEEP), "reason": reason, "live_path": action.file.path, "runs": []}


def _file_change(outcome: Mapping[str, Any]) -> FileChange:
    return FileChange(
        outcome["live_path"],
        outcome["new_path"],
        outcome["action"],
        outcome["rows"],
        tuple(Addition(**addition) for addition in outcome["additions"]),
        frozenset(outcome["drop"]),
    )


def report_of(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts per action and reason, and bytes, for the run's outputs."""
    counts = Counter((str(outcome["action"]), str(outcome["reason"])) for outcome in outcomes)
    sums = {
        name: sum(int(outcome.get(name, 0)) for outcome in outcomes)
        for name in ("copied_bytes", "added_bytes", "dead_bytes", "file_bytes")
    }
    return {
        "actions": [
            {"action": action, "reason": reason, "files": files} for (action, reason), files in sorted(counts.items())
        ],
        **sums,
    }


def _table(columns: Sequence[pa.ChunkedArray], fields: Sequence[pa.Field]) -> pa.Table:
    schema = pa.schema(fields)
    return pa.Table.from_arrays(
        [each.cast(field.type) for each, field in zip(columns, schema, strict=True)], schema=schema
    )


def _with_ids(field: pa.Field, path: str, ids: Mapping[str, int]) -> pa.Field:
    """A field with its id and those of the fields inside it."""
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = pa.list_(_with_ids(kind.value_field.with_name("element"), f"{path}.element", ids))
    elif pa.types.is_map(kind):
        key, item = _with_ids(kind.key_field, f"{path}.key", ids), _with_ids(kind.item_field, f"{path}.value", ids)
        kind = pa.map_(key, item)
    elif pa.types.is_struct(kind):
        inner = [kind.field(number) for number in range(kind.num_fields)]
        kind = pa.struct([_with_ids(each, f"{path}.{each.name}", ids) for each in inner])
    return pa.field(field.name, kind, field.nullable, {b"PARQUET:field_id": str(ids[path]).encode()})
