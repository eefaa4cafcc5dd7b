"""Make one new data file for a live one: the one place where each kind of landing is carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from nbplat.backfill.failures import our_errors
from nbplat.backfill.landing import Action, Change, FileAction, Match, Part, Source
from nbplat.backfill.outcomes import kept, outcome_of
from nbplat.backfill.ports import Addition, Splicer, StagedWriter, Tables, TableView
from nbplat.backfill.realign import key_positions, take_rows
from nbplat.errors import DataError
from nbplat.remote.align import key_digest
from nbplat.remote.write import write_staged
from nbplat.terms import SnapshotPin

__all__ = ["FileMaker", "Values"]

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


@dataclass(slots=True)
class FileMaker:
    """Makes files of one table.

    Attributes:
        values: Where each run's values come from.
    """

    tables: Tables
    splicer: Splicer
    writer: StagedWriter
    values: Mapping[str, Values]
    _loaded: dict[tuple[str, ...], pa.Table] = field(default_factory=dict)

    def make(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> dict[str, Any]:
        """Carry out one action: the one place where each kind is done.

        Raises:
            DataError: ``file.gone``, for a staged file or a file of the table.
        """
        try:
            match action.action:
                case Action.RESTORE:
                    return outcome_of(action, action.old_path, action.file.rows, (), frozenset(), {})
                case Action.REWRITE:
                    return self._rewrite(view, action, changes, name, fence)
                case Action.SPLICE:
                    return self._splice(view, action, changes, name, fence)
                case Action.KEEP:
                    raise AssertionError("nothing is done with a file that is kept")
        except FileNotFoundError as gone:
            raise DataError(
                "file.gone",
                "a file that the new one is made of is gone",
                fix="put it back; for a staged file, roll the run back and run the cell again",
                where=str(gone.filename or action.file.path),
            ) from None

    def _splice(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], name: str, fence: int
    ) -> dict[str, Any]:
        out = self.splicer.target_path(action.file.path, name, fence)
        parts, additions = self._additions(view, action, changes, fence)
        dead: frozenset[int] = frozenset()
        for _ in range(3):
            if not parts:
                return kept(action, "holds no row of the run")
            drop = dead.union(*(part.drop for part in parts))
            try:
                report = self.splicer.splice(
                    action.file.path, [each for _, each in additions], out, drop=drop, name_ids=view.names
                )
            except DataError as error:
                if error.code in _REALIGN and any(part.match is not Match.KEY for part, _ in additions):
                    by_key = replace(action, parts=tuple(replace(p, match=Match.KEY) for p in action.parts))
                    parts, additions = self._additions(view, by_key, changes, fence)
                    continue
                gone = action.file.columns - set(view.columns.values()) - drop
                if error.code == _CLASH and gone:
                    # A column that was dropped from the schema still has a chunk of this name here.
                    dead |= gone
                    continue
                if error.code in {_CLASH, *_REALIGN}:
                    return self._rewrite(view, replace(action, reason=error.message), changes, name, fence)
                raise
            done = replace(action, parts=tuple(parts))
            return outcome_of(done, out, action.file.rows, [each for _, each in additions], drop, report)
        return self._rewrite(view, action, changes, name, fence)

    def _additions(
        self, view: TableView, action: FileAction, changes: Mapping[str, Change], fence: int
    ) -> tuple[list[Part], list[tuple[Part, Addition]]]:
        """The parts that this file takes, and for those that bring values the aligned file to take them from."""
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
            if values is not None or part.match is Match.NONE:
                parts.append(part)
        if not parts:
            return kept(action, "holds no row of the run")
        gone = frozenset(number for part in parts for number in part.drop)
        held = action.file.columns - gone
        names = [column for column, number in view.columns.items() if number in held]
        paths = {".".join(path): number for path, number in view.fields.items()}
        schema = pa.schema([_with_ids(each, each.name, paths) for each in self.tables.schema(view.pin, names)])
        out = self.splicer.target_path(action.file.path, name, fence)
        report = self.splicer.rewrite(read, schema, _table(added, fields), out, names=self.tables.names(view.pin))
        done = replace(action, action=Action.REWRITE, parts=tuple(parts))
        return outcome_of(done, out, live, (), gone, report)

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
