"""The committer: staging tables, branches, and the one compare-and-swap that moves main.

A new column's schema is added without being made current. Publishing is one commit that asserts
main, the run's branch and the current schema, and sets the current schema and main together; until
then main shows nothing, and a rejected run leaves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.catalog import load_table
from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.schemas import refuse_existing, schema_with, schema_without, unused_schemas
from nbplat.adapters.iceberg.staging import column_metrics, create_staging, drop_staging
from nbplat.adapters.iceberg.swap import FileSwap, data_file_like, live_data_files, write_swap
from nbplat.backfill.ports import Column, Publication, Swap
from nbplat.backfill.types import number_fields
from nbplat.errors import Conflict, RemoteError
from nbplat.terms import SnapshotPin, StagedFile, local_path

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["IcebergPublisher", "branch_name", "tag_name"]

_ATTEMPTS = 10
_MAIN = "main"


def branch_name(run_id: str) -> str:
    """The run's branch: ``nb-spend_90d-1``."""
    return f"nb-{run_id.replace('@', '-')}"


def tag_name(run_id: str) -> str:
    """Names the snapshot that main pointed at before the run: ``nb-pre-spend_90d-1``."""
    return f"nb-pre-{run_id.replace('@', '-')}"


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

    def field_ids(self, base: SnapshotPin, run_id: str, columns: Sequence[Column]) -> dict[str, int]:
        """The ids an earlier try put on the run's branch, else ids above every id the table has ever used."""
        table = load_table(self._catalog, base.table)
        refuse_existing(table, columns)
        tried = table.metadata.snapshot_by_name(branch_name(run_id))
        if tried is not None and tried.summary:
            ids: dict[str, int] = json.loads(tried.summary["nbplat.field_ids"] or "{}")
            if not set(ids.values()) & set(table.schema().field_ids):
                return ids
        first = table.metadata.last_column_id + 1
        return number_fields([(column.name, column.type) for column in columns], first)

    def published(self, base: SnapshotPin, run_id: str) -> Publication | None:
        """Look for the run's publish in main's history, undone by no later roll back."""
        table = load_table(self._catalog, base.table)
        for snapshot in _history(table, table.current_snapshot()):
            summary = snapshot.summary
            if summary is None or summary["nbplat.run"] != run_id:
                continue
            if summary["nbplat.step"] == "rollback":
                return None
            if summary["nbplat.step"] == "promote":
                return Publication(
                    snapshot_id=snapshot.snapshot_id,
                    previous_snapshot_id=snapshot.parent_snapshot_id or 0,
                    schema_id=snapshot.schema_id or 0,
                    previous_schema_id=int(summary["nbplat.previous_schema_id"] or 0),
                    field_ids=json.loads(summary["nbplat.field_ids"] or "{}"),
                    already=True,
                )
        return None

    def publish(
        self,
        base: SnapshotPin,
        run_id: str,
        columns: Sequence[Column],
        field_ids: Mapping[str, int],
        swaps: Sequence[Swap],
        staged: Mapping[str, str],
        provenance: Mapping[str, str],
        check: Callable[[], None],
        keep_schemas: Collection[int] = (),
    ) -> Publication:
        """Swap on the branch, check, then move main; replay the swap where main has moved.

        Args:
            staged: Base path -> staged file, for the new columns' metrics.
            keep_schemas: Schema ids that live runs still read with; the others are pruned when no
                snapshot refers to them.
        """
        for attempt in range(_ATTEMPTS):
            table = load_table(self._catalog, base.table)
            main = _main(table)
            schema = schema_with(table, columns, field_ids)
            snapshot = self._swap_in(table, main, schema, run_id, field_ids, swaps, staged, provenance)
            self._commit_branch(table, run_id, schema, snapshot)
            if attempt == 0:
                check()
            if self._move_main(table, main, schema, snapshot, run_id, keep_schemas):
                return Publication(
                    snapshot_id=snapshot.snapshot_id,
                    previous_snapshot_id=main.snapshot_id,
                    schema_id=schema.schema_id,
                    previous_schema_id=table.metadata.current_schema_id,
                    field_ids=dict(field_ids),
                    replays=attempt,
                )
        raise _contended(base.table)

    def revert(self, publication: Publication, table: str, run_id: str, swaps: Sequence[Swap]) -> Publication:
        """Swap the old files back and drop the run's columns, in one commit on top of main."""
        from pyiceberg.exceptions import CommitFailedException

        for attempt in range(_ATTEMPTS):
            loaded = load_table(self._catalog, table)
            main = _main(loaded)
            back = _files_to_restore(loaded, main, publication, swaps, run_id)
            schema = schema_without(loaded, set(publication.field_ids.values()))
            properties = {
                "nbplat.run": run_id,
                "nbplat.step": "rollback",
                "nbplat.previous_schema_id": str(loaded.metadata.current_schema_id),
            }
            snapshot = write_swap(loaded, main, schema, back, properties)
            try:
                self._commit_all(loaded, main, schema, snapshot)
            except CommitFailedException:
                continue
            return Publication(
                snapshot.snapshot_id,
                main.snapshot_id,
                schema.schema_id,
                loaded.metadata.current_schema_id,
                replays=attempt,
            )
        raise _contended(table)

    def drop_branch(self, table: str, run_id: str) -> None:
        """Remove the run's branch."""
        from pyiceberg.table.update import AssertTableUUID, RemoveSnapshotRefUpdate

        loaded = load_table(self._catalog, table)
        if branch_name(run_id) in loaded.metadata.refs:
            self._catalog.commit_table(
                loaded,
                (AssertTableUUID(uuid=loaded.metadata.table_uuid),),
                (RemoveSnapshotRefUpdate(ref_name=branch_name(run_id)),),
            )

    def _swap_in(
        self,
        table: Table,
        main: Snapshot,
        schema: Schema,
        run_id: str,
        field_ids: Mapping[str, int],
        swaps: Sequence[Swap],
        staged: Mapping[str, str],
        provenance: Mapping[str, str],
    ) -> Snapshot:
        old = live_data_files(table, main, {swap.old_path for swap in swaps})
        new = [
            FileSwap(
                swap.old_path,
                _spliced_record(old[swap.old_path], swap, staged[swap.old_path], field_ids, table.properties),
            )
            for swap in swaps
            if swap.old_path in old
        ]
        deletes = {live.path for live in live_files(table, main) if live.deletes}
        if lost := len(swaps) - len(new) + len(deletes & old.keys()):
            raise _base_changed(base_table=".".join(table.name()), lost=lost)
        properties = {
            **provenance,
            "nbplat.run": run_id,
            "nbplat.step": "promote",
            "nbplat.field_ids": json.dumps(dict(field_ids)),
            "nbplat.previous_schema_id": str(table.metadata.current_schema_id),
        }
        return write_swap(table, main, schema, new, properties)

    def _commit_branch(self, table: Table, run_id: str, schema: Schema, snapshot: Snapshot) -> None:
        """Put the snapshot on the run's branch, made new or moved; main and the current schema stay."""
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AddSnapshotUpdate, AssertCurrentSchemaId, AssertTableUUID

        metadata = table.metadata
        try:
            self._catalog.commit_table(
                table,
                (
                    AssertTableUUID(uuid=metadata.table_uuid),
                    AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),
                ),
                (
                    *_add_schema(table, schema),
                    AddSnapshotUpdate(snapshot=snapshot),
                    _set_ref(branch_name(run_id), snapshot.snapshot_id),
                ),
            )
        except CommitFailedException as exc:
            raise Conflict(
                "promotion.schema_moved",
                f"the schema of {'.'.join(table.name())} changed during the promotion",
                fix=f"promote again: `%backfill promote {run_id}`",
            ) from exc

    def _move_main(
        self,
        before: Table,
        main: Snapshot,
        schema: Schema,
        snapshot: Snapshot,
        run_id: str,
        keep_schemas: Collection[int],
    ) -> bool:
        """The compare-and-swap; False when main or the schema moved since `before`."""
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.refs import SnapshotRefType
        from pyiceberg.table.update import (
            AssertCurrentSchemaId,
            AssertRefSnapshotId,
            AssertTableUUID,
            RemoveSchemasUpdate,
            RemoveSnapshotRefUpdate,
            SetCurrentSchemaUpdate,
        )

        table = load_table(self._catalog, ".".join(before.name()))
        unused = unused_schemas(table, {schema.schema_id, before.metadata.current_schema_id, *keep_schemas})
        branch = branch_name(run_id)
        try:
            self._catalog.commit_table(
                table,
                (
                    AssertTableUUID(uuid=before.metadata.table_uuid),
                    AssertRefSnapshotId(ref=_MAIN, snapshot_id=main.snapshot_id),
                    AssertRefSnapshotId(ref=branch, snapshot_id=snapshot.snapshot_id),
                    AssertCurrentSchemaId(current_schema_id=before.metadata.current_schema_id),
                ),
                (
                    SetCurrentSchemaUpdate(schema_id=schema.schema_id),
                    _set_ref(_MAIN, snapshot.snapshot_id),
                    _set_ref(tag_name(run_id), main.snapshot_id, SnapshotRefType.TAG),
                    RemoveSnapshotRefUpdate(ref_name=branch),
                    *((RemoveSchemasUpdate(schema_ids=unused),) if unused else ()),
                ),
            )
        except CommitFailedException:
            return False
        return True

    def _commit_all(self, table: Table, main: Snapshot, schema: Schema, snapshot: Snapshot) -> None:
        from pyiceberg.table.update import (
            AddSnapshotUpdate,
            AssertCurrentSchemaId,
            AssertRefSnapshotId,
            AssertTableUUID,
            SetCurrentSchemaUpdate,
        )

        metadata = table.metadata
        self._catalog.commit_table(
            table,
            (
                AssertTableUUID(uuid=metadata.table_uuid),
                AssertRefSnapshotId(ref=_MAIN, snapshot_id=main.snapshot_id),
                AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),
            ),
            (
                *_add_schema(table, schema),
                AddSnapshotUpdate(snapshot=snapshot),
                SetCurrentSchemaUpdate(schema_id=schema.schema_id),
                _set_ref(_MAIN, snapshot.snapshot_id),
            ),
        )


def _set_ref(name: str, snapshot_id: int, kind: Any = None) -> Any:
    from pyiceberg.table.refs import SnapshotRefType
    from pyiceberg.table.update import SetSnapshotRefUpdate

    return SetSnapshotRefUpdate(
        ref_name=name,
        type=kind or SnapshotRefType.BRANCH,
        snapshot_id=snapshot_id,
        max_ref_age_ms=None,
        max_snapshot_age_ms=None,
        min_snapshots_to_keep=None,
    )


def _add_schema(table: Table, schema: Schema) -> tuple[Any, ...]:
    from pyiceberg.table.update import AddSchemaUpdate

    known = {each.schema_id for each in table.metadata.schemas}
    return () if schema.schema_id in known else (AddSchemaUpdate(schema_=schema),)


def _main(table: Table) -> Snapshot:
    snapshot = table.current_snapshot()
    if snapshot is None:
        raise Conflict("table.empty", f"{'.'.join(table.name())} has no snapshot any more", fix="load the table again")
    return snapshot


def _spliced_record(
    old: DataFile, swap: Swap, staged_path: str, field_ids: Mapping[str, int], properties: Mapping[str, str]
) -> DataFile:
    added = column_metrics(staged_path, field_ids, properties)
    kinds = (
        "column_sizes",
        "value_counts",
        "null_value_counts",
        "nan_value_counts",
        "lower_bounds",
        "upper_bounds",
    )
    metrics: dict[str, Any] = {kind: {**(getattr(old, kind) or {}), **added.get(kind, {})} for kind in kinds}
    metrics["split_offsets"] = old.split_offsets
    return data_file_like(old, swap.new_path, local_path(swap.new_path).stat().st_size, metrics)


def _files_to_restore(
    table: Table, main: Snapshot, publication: Publication, swaps: Sequence[Swap], run_id: str
) -> list[FileSwap]:
    name = ".".join(table.name())
    ours = {swap.new_path for swap in swaps}
    live = {each.path: each for each in live_files(table, table.current_snapshot())}
    if missing := ours - live.keys():
        later = [
            str(snapshot.summary["nbplat.run"])
            for snapshot in _history(table, main, until=publication.snapshot_id)
            if snapshot.summary and snapshot.summary["nbplat.run"]
        ]
        by = f" (by {', '.join(dict.fromkeys(later))})" if later else ""
        raise Conflict(
            "rollback.built_on",
            f"{len(missing)} files of {run_id} in {name} were replaced since{by}",
            fix=f"roll back {later[0]} first"
            if later
            else "drop the column instead (Spark: ALTER TABLE … DROP COLUMN)",
        )
    if any(live[path].deletes for path in ours):
        raise Conflict(
            "rollback.deletes",
            f"rows of {name} were deleted in files of {run_id} since, and the old files still hold them",
            fix="compact the table first, or drop the column instead (Spark: ALTER TABLE … DROP COLUMN)",
        )
    before = table.metadata.snapshot_by_id(publication.previous_snapshot_id)
    if before is None:
        raise Conflict(
            "snapshot.expired",
            f"the snapshot before {run_id} has been expired, and its files may be gone",
            fix="drop the column instead (Spark: ALTER TABLE … DROP COLUMN)",
        )
    old = live_data_files(table, before, {swap.old_path for swap in swaps})
    return [FileSwap(swap.new_path, old[swap.old_path]) for swap in swaps]


def _history(table: Table, head: Snapshot | None, until: int | None = None) -> Iterator[Snapshot]:
    """Snapshots from `head` back to the first, or to `until`, which is left out."""
    while head is not None and head.snapshot_id != until:
        yield head
        head = table.metadata.snapshot_by_id(head.parent_snapshot_id) if head.parent_snapshot_id else None


def _base_changed(base_table: str, lost: int) -> Conflict:
    return Conflict(
        "promotion.base_changed",
        f"{lost} data files of {base_table} were replaced or got deletes during the promotion",
        fix="roll the run back and run the cell again on the present snapshot",
    )


def _contended(table: str) -> RemoteError:
    return RemoteError(
        "catalog.contended",
        f"{table} kept moving for {_ATTEMPTS} tries",
        fix="promote again when fewer writers are busy",
    )
