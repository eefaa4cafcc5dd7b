"""The committer: staging tables, branches, and the one compare-and-swap that moves main.

A new column's schema is added without being made current. Publishing is one commit that asserts
main, the run's branch and the current schema, and sets the current schema and main together; until
then main shows nothing, and a rejected run leaves nothing. A promoter that takes over removes the
branches of those before it, so that the catalog refuses what they may still try.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.file_records import held_fields, record_of
from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.refs import MAIN, history, promotion_branches, runs_of, set_ref, step_of
from nbplat.adapters.iceberg.schemas import (
    changed_schema,
    field_paths,
    fresh_ids,
    kept_ids,
    reserved_ids,
    unused_schemas,
)
from nbplat.adapters.iceberg.staging import create_staging, drop_staging
from nbplat.adapters.iceberg.swap import FileSwap, live_data_files, write_swap
from nbplat.backfill.ports import BranchHead, FileChange, Publication, SchemaChange, TableFile, TableView
from nbplat.backfill.table_facts import Column
from nbplat.errors import Conflict, NotFound
from nbplat.terms import SnapshotPin, StagedFile

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["IcebergPublisher"]

_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Head:
    """A snapshot on a branch, and what main was when it was built."""

    table: Table
    main: Snapshot
    branch: str
    snapshot: Snapshot
    schema: Schema


class IcebergPublisher:
    """Writes to one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def commit_staging(
        self,
        base: SnapshotPin,
        run_id: str,
        columns: Sequence[Column],
        keys: Sequence[str],
        files: Sequence[StagedFile],
        provenance: Mapping[str, str],
    ) -> tuple[str, int]:
        """Make the staging table once."""
        return create_staging(self._catalog, load_table(self._catalog, base.table), base, run_id, files, provenance)

    def drop_staging(self, table: str) -> None:
        """Drop a staging table with its files."""
        drop_staging(self._catalog, table)

    # -- looking ---------------------------------------------------------------------------------
    def view(self, base: SnapshotPin) -> TableView:
        """Main now, with every kind of delete."""
        table = self._load(base)
        held = held_fields(table)
        files = []
        for live in live_files(table, table.current_snapshot()):
            columns, nulls = held(live.file)
            deletes = tuple(each.file.file_path for each in live.deletes)
            files.append(TableFile(live.path, live.file.record_count, deletes, columns, nulls))
        return TableView(
            pin=pin_of(table),
            files=tuple(files),
            columns={field.name: field.field_id for field in table.schema().fields},
            fields=field_paths(table.schema()),
            names=_name_ids(table),
            handle=table,
        )

    def column_ids(self, base: SnapshotPin, change: SchemaChange) -> dict[str, int]:
        """Look whether the schema can be changed so."""
        table = self._load(base)
        ids = fresh_ids(table, change.add)
        changed_schema(table, SchemaChange(change.add, ids, change.remove, change.keep))
        return kept_ids(table, change)

    def published(self, base: SnapshotPin, run_id: str, step: str = "promote") -> Publication | None:
        """Look for the run's newest step in main's history."""
        table = self._load(base)
        for snapshot in history(table, table.current_snapshot()):
            ids = runs_of(snapshot).get(run_id)
            if ids is None:
                continue
            if step_of(snapshot) != step:
                return None
            summary = snapshot.summary
            return Publication(
                snapshot_id=snapshot.snapshot_id,
                previous_snapshot_id=snapshot.parent_snapshot_id or 0,
                schema_id=snapshot.schema_id or 0,
                previous_schema_id=int((summary["nbplat.previous_schema_id"] if summary else None) or 0),
                field_ids=ids if step == "promote" else {},
                already=True,
            )
        return None

    def later_runs(self, base: SnapshotPin, run_id: str, field_ids: Collection[int]) -> tuple[str, ...]:
        """Walk main's history back to the run's own promotion."""
        table = self._load(base)
        undone: set[str] = set()
        found: list[str] = []
        for snapshot in history(table, table.current_snapshot()):
            for run, ids in runs_of(snapshot).items():
                if run == run_id and step_of(snapshot) == "promote":
                    return tuple(found)
                if step_of(snapshot) == "rollback":
                    undone.add(run)
                elif run not in undone and set(ids.values()) & set(field_ids):
                    found.append(run)
        return tuple(found)

    def restorable(self, base: SnapshotPin, snapshot_id: int) -> frozenset[str]:
        """Data files of a snapshot."""
        table = self._load(base)
        return frozenset(live.path for live in live_files(table, table.metadata.snapshot_by_id(snapshot_id)))

    # -- committing ------------------------------------------------------------------------------
    def open(
        self, base: SnapshotPin, branch: str, change: SchemaChange, wanted: Mapping[str, int], guard: Callable[[], None]
    ) -> dict[str, int]:
        """One commit: other tries' branches go, this one's is made at main, the reserved columns' schema comes."""
        from pyiceberg.table.update import AssertCurrentSchemaId, AssertLastAssignedFieldId, RemoveSnapshotRefUpdate

        for _ in range(_TRIES):
            table = self._load(base)
            main = _main(table)
            ids = reserved_ids(table, change.add, wanted) or fresh_ids(table, change.add)
            schema = changed_schema(table, SchemaChange(change.add, ids, change.remove, change.keep))
            others = [name for name in promotion_branches(table) if name != branch]
            guard()
            if self._commit(
                table,
                {MAIN: main.snapshot_id, **{name: table.metadata.refs[name].snapshot_id for name in others}},
                (
                    *(RemoveSnapshotRefUpdate(ref_name=name) for name in others),
                    *_add_schema(table, schema),
                    set_ref(branch, main.snapshot_id),
                ),
                AssertCurrentSchemaId(current_schema_id=table.metadata.current_schema_id),
                AssertLastAssignedFieldId(last_assigned_field_id=table.metadata.last_column_id),
            ):
                return ids
        raise Conflict(
            "promotion.contended", f"{base.table} kept moving for {_TRIES} tries", fix="promote again in a while"
        )

    def put(
        self,
        view: TableView,
        branch: str,
        files: Sequence[FileChange],
        schema: SchemaChange,
        properties: Mapping[str, str],
        guard: Callable[[], None],
        *,
        before: int | None = None,
    ) -> BranchHead | None:
        """Write the manifests on top of the view's snapshot and move the branch there; main stays."""
        from pyiceberg.table.update import AddSnapshotUpdate, AssertCurrentSchemaId

        table: Table = view.handle
        main = _main(table)
        at = table.metadata.refs.get(branch)
        if at is None:
            raise _overtaken(branch)
        changed = changed_schema(table, schema)
        told = {**properties, "nbplat.previous_schema_id": str(table.metadata.current_schema_id)}
        snapshot = write_swap(table, main, changed, _swaps(table, main, files, before), told)
        guard()
        if not self._commit(
            table,
            {MAIN: main.snapshot_id, branch: at.snapshot_id},
            (*_add_schema(table, changed), AddSnapshotUpdate(snapshot=snapshot), set_ref(branch, snapshot.snapshot_id)),
            AssertCurrentSchemaId(current_schema_id=table.metadata.current_schema_id),
        ):
            self._refuse_overtaken(view.pin, branch)
            return None
        pin = SnapshotPin(view.pin.table, view.pin.table_uuid, snapshot.snapshot_id, changed.schema_id)
        return BranchHead(pin, _Head(table, main, branch, snapshot, changed))

    def publish(
        self, head: BranchHead, tag: str | None, guard: Callable[[], None], keep_schemas: Collection[int] = ()
    ) -> Publication | None:
        """The compare-and-swap."""
        from pyiceberg.table.update import (
            AssertCurrentSchemaId,
            RemoveSchemasUpdate,
            RemoveSnapshotRefUpdate,
            SetCurrentSchemaUpdate,
        )

        built: _Head = head.handle
        before = built.table.metadata
        table = self._load(head.pin)
        unused = unused_schemas(table, {built.schema.schema_id, before.current_schema_id, *keep_schemas})
        guard()
        if not self._commit(
            table,
            {MAIN: built.main.snapshot_id, built.branch: built.snapshot.snapshot_id},
            (
                SetCurrentSchemaUpdate(schema_id=built.schema.schema_id),
                set_ref(MAIN, built.snapshot.snapshot_id),
                *((set_ref(tag, built.main.snapshot_id, tag=True),) if tag else ()),
                RemoveSnapshotRefUpdate(ref_name=built.branch),
                *((RemoveSchemasUpdate(schema_ids=unused),) if unused else ()),
            ),
            AssertCurrentSchemaId(current_schema_id=before.current_schema_id),
        ):
            self._refuse_overtaken(head.pin, built.branch)
            return None
        return Publication(
            snapshot_id=built.snapshot.snapshot_id,
            previous_snapshot_id=built.main.snapshot_id,
            schema_id=built.schema.schema_id,
            previous_schema_id=before.current_schema_id,
        )

    def sweep(self, base: SnapshotPin, *, run_id: str | None = None, branch: str | None = None) -> tuple[str, ...]:
        """Remove what promotions left; nothing happens when the table is gone or another by now."""
        from pyiceberg.table.update import RemoveSnapshotRefUpdate

        try:
            table = self._load(base)
        except (Conflict, NotFound):
            return ()
        left = [name for name in promotion_branches(table, run_id) if branch in (None, name)]
        if left:
            at = {name: table.metadata.refs[name].snapshot_id for name in left}
            self._commit(table, at, tuple(RemoveSnapshotRefUpdate(ref_name=name) for name in left))
        return tuple(left)

    def _commit(self, table: Table, refs: Mapping[str, int], updates: tuple[Any, ...], *asserts: Any) -> bool:
        """Commit; False when a requirement does not hold any more."""
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID

        requirements = (
            AssertTableUUID(uuid=table.metadata.table_uuid),
            *(AssertRefSnapshotId(ref=name, snapshot_id=snapshot_id) for name, snapshot_id in refs.items()),
            *asserts,
        )
        try:
            self._catalog.commit_table(table, requirements, updates)
        except CommitFailedException:
            return False
        except ValueError as exc:
            # Another branch took the sequence number; pyiceberg's catalogs say so in words only.
            if "sequence number" not in str(exc):
                raise
            return False
        return True

    def _load(self, base: SnapshotPin) -> Table:
        table = load_table(self._catalog, base.table)
        if str(table.metadata.table_uuid) != base.table_uuid:
            raise Conflict(
                "table.replaced",
                f"{base.table} is another table now than the one this was planned on",
                fix="plan again: the name was dropped and made anew",
            )
        return table

    def _refuse_overtaken(self, pin: SnapshotPin, branch: str) -> None:
        if branch not in self._load(pin).metadata.refs:
            raise _overtaken(branch)


def _overtaken(branch: str) -> Conflict:
    return Conflict(
        "lease.lost",
        f"the branch {branch} was taken away: another promotion has taken over",
        fix="stop this work; the newer one goes on",
    )


def _swaps(table: Table, main: Snapshot, files: Sequence[FileChange], before: int | None) -> list[FileSwap]:
    live = live_data_files(table, main, {change.live_path for change in files})
    put_back = {change.new_path for change in files if change.action == "restore"}
    past = table.metadata.snapshot_by_id(before) if put_back and before else None
    old = live_data_files(table, past, put_back) if past else {}
    swaps = []
    for change in files:
        new: DataFile | None
        if change.action == "restore":
            new = old[change.new_path]
        else:
            new = record_of(table, change, live[change.live_path]) if change.rows else None
        swaps.append(FileSwap(change.live_path, new))
    return swaps


def _add_schema(table: Table, schema: Schema) -> tuple[Any, ...]:
    from pyiceberg.table.update import AddSchemaUpdate

    known = {each.schema_id for each in table.metadata.schemas}
    return () if schema.schema_id in known else (AddSchemaUpdate(schema_=schema),)


def _main(table: Table) -> Snapshot:
    snapshot = table.current_snapshot()
    if snapshot is None:
        raise Conflict("table.empty", f"{'.'.join(table.name())} has no snapshot any more", fix="load the table again")
    return snapshot


def _name_ids(table: Table) -> dict[tuple[str, ...], int]:
    """What files without field ids call each field: by the name mapping, else by the schema."""
    mapping = table.name_mapping()
    if mapping is None:
        return field_paths(table.schema())
    found: dict[tuple[str, ...], int] = {}

    def walk(prefix: tuple[str, ...], fields: Sequence[Any]) -> None:
        for field in fields:
            for name in field.names:
                if field.field_id is not None:
                    found[*prefix, name] = field.field_id
                walk((*prefix, name), field.fields)

    walk((), mapping.root)
    return found
