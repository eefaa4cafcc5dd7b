"""An Iceberg table at one snapshot as a source of events: pieces that any process can read, and what came since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.arrow_schema import arrow_schema
from nbplat.adapters.iceberg.catalog import load_table, pin_of, storage_options
from nbplat.adapters.iceberg.deletes import DeletedRows
from nbplat.adapters.iceberg.file_facts import field_names, file_constants
from nbplat.adapters.iceberg.live import LiveFile, refuse_unreadable
from nbplat.adapters.iceberg.manifests import Manifests, garbage_later
from nbplat.adapters.iceberg.refs import history
from nbplat.adapters.iceberg.scan import check_pin, pinned_files, pinned_schema
from nbplat.adapters.iceberg.time_bounds import NO_ROWS, time_bounds
from nbplat.errors import Conflict, from_record
from nbplat.sequence.known_columns import check_known
from nbplat.sequence.ports import SourcePart, SourcePin
from nbplat.terms import SnapshotPin, content_hash

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["IcebergEventSource", "file_tasks", "read_rows"]

_CHUNK_ROWS = 1 << 17
_KEEPS_ROWS = ("append", "replace")


class IcebergEventSource:
    """Implements `nbplat.sequence.ports.EventSource`; every kind of delete is applied.

    Args:
        pin: Which state; None pins the table's present one.

    Raises:
        NotFound: there is no such table.
        Conflict: the pinned snapshot was expired, or the table replaced.
    """

    def __init__(self, catalog: Catalog, table: str, pin: SnapshotPin | None = None) -> None:
        self._catalog = catalog
        self._table = load_table(catalog, table)
        self._pin = pin or pin_of(self._table)
        check_pin(self._table, self._pin)
        self._manifests = Manifests(self._table.io)
        self._deleted = DeletedRows(self._table)

    @property
    def pin(self) -> SourcePin:
        """See the port."""
        return SourcePin("table", self._pin.table, content_hash(self._pin.record()), self._pin)

    @cached_property
    def schema(self) -> pa.Schema:
        """See the port; every field carries ``PARQUET:field_id``."""
        return arrow_schema(pinned_schema(self._table, self._pin).fields)

    @property
    def rows(self) -> int:
        """From the manifests; deleted rows count."""
        return sum(live.file.record_count for live in self._files)

    @property
    def bytes(self) -> int:
        """From the manifests."""
        return sum(live.file.file_size_in_bytes for live in self._files)

    @cached_property
    def parts(self) -> tuple[SourcePart, ...]:
        """A part a data file, in path order; delete files are read here, data files are not."""
        return self._parts(self._files)

    def read(self, columns: Sequence[str], *, encoded: Sequence[str] = ()) -> Iterator[pa.Table]:
        """See the port."""
        check_known(columns, self.schema.names, self._pin.table)
        for part in self.parts:
            yield from read_rows(part.task, columns, _CHUNK_ROWS, encoded=encoded)

    def added_since(self, pin: SourcePin) -> tuple[SourcePart, ...] | None:
        """See the port.

        Every snapshot since must have appended, or have rewritten files without changing a row (compaction).
        """
        before = pin.table
        if before is None or before.table_uuid != self._pin.table_uuid:
            return None
        if before.snapshot_id == self._pin.snapshot_id:
            return ()
        since = self._since(before.snapshot_id)
        if since is None or any(_operation(snapshot) not in _KEEPS_ROWS for snapshot in since):
            return None
        added = [live for snapshot in since if _operation(snapshot) == "append" for live in self._added_by(snapshot)]
        refuse_unreadable(added, self._pin.table)
        return self._parts(sorted(added, key=lambda live: live.path))

    def parts_within(
        self, column: str, window: tuple[int | None, int | None], unit: str | None
    ) -> tuple[SourcePart, ...]:
        """See the port; by the bounds in the manifests."""
        field = pinned_schema(self._table, self._pin).find_field(column)
        start, end = window

        def meets(live: LiveFile) -> bool:
            bounds = time_bounds(live.file, field, unit)
            return bounds is None or ((end is None or bounds[0] < end) and (start is None or bounds[1] > start))

        return self._parts([live for live in self._files if meets(live)])

    def changed_span(self, pin: SourcePin, column: str, unit: str | None) -> tuple[int, int] | None:
        """See the port; of files that came, went or got other deletes, by the bounds in the manifests."""
        before = pin.table
        if before is None:
            return None
        try:
            old = pinned_files(self._table, before, manifests=self._manifests)
        except Conflict:
            return None  # the older snapshot has expired: nobody can say what changed since
        was, now = ({_with_deletes(live): live for live in files} for files in (old, self._files))
        changed = [*(was[each] for each in was.keys() - now), *(now[each] for each in now.keys() - was)]
        field = pinned_schema(self._table, self._pin).find_field(column)
        bounds = [time_bounds(live.file, field, unit) for live in changed]
        if not bounds or None in bounds:
            return None
        known = [each for each in bounds if each is not None and each != NO_ROWS]
        return (min(first for first, _ in known), max(end for _, end in known)) if known else None

    def _added_by(self, snapshot: Snapshot) -> list[LiveFile]:
        """The files that an append added, though a compaction may have replaced them since."""
        own = [each for each in snapshot.manifests(self._table.io) if each.added_snapshot_id == snapshot.snapshot_id]
        return [
            LiveFile(entry.data_file, entry.sequence_number or 0, entry.snapshot_id, ())
            for entries in self._manifests.entries(own)
            for entry in entries
            if entry.snapshot_id == snapshot.snapshot_id and entry.data_file.record_count
        ]

    @cached_property
    def _files(self) -> list[LiveFile]:
        with garbage_later():
            found = pinned_files(self._table, self._pin, manifests=self._manifests)
        refuse_unreadable(found, self._pin.table)
        return found

    def _since(self, snapshot_id: int | None) -> list[Snapshot] | None:
        """Snapshots after that one up to the pinned; None when that one is not an ancestor that is still known."""
        head = self._table.metadata.snapshot_by_id(self._pin.snapshot_id or -1)
        found: list[Snapshot] = []
        for snapshot in history(self._table, head):
            if snapshot.snapshot_id == snapshot_id:
                return found
            found.append(snapshot)
        return found if snapshot_id is None and found and found[-1].parent_snapshot_id is None else None

    def _parts(self, files: Sequence[LiveFile]) -> tuple[SourcePart, ...]:
        return file_tasks(self._catalog, self._table, self._pin, files, self._deleted)


def file_tasks(
    catalog: Catalog, table: Table, pin: SnapshotPin, files: Sequence[LiveFile], deleted: DeletedRows
) -> tuple[SourcePart, ...]:
    """How any process reads these files of a pin, one part each, in their order; delete files are read here."""
    schema = pinned_schema(table, pin)
    constants = file_constants(table, schema)
    shared = {
        "schema": arrow_schema(schema.fields).serialize().to_pybytes(),
        "names": {number: list(found) for number, found in field_names(table, schema).items()},
        "storage": storage_options(catalog, f"{table.location()}/"),
    }
    return tuple(
        SourcePart(
            id=content_hash(live.path)[:16],
            rows=live.file.record_count,
            bytes=live.file.file_size_in_bytes,
            task=_task(live, deleted, constants(live.file), shared),
        )
        for live in files
    )


def read_rows(
    task: Mapping[str, Any], columns: Sequence[str], chunk_rows: int, *, encoded: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """The live rows of a part in chunks, exactly `columns` in that order.

    Raises:
        NbplatError: the file is gone, damaged or another by now.
    """
    from nbplat.remote.failure import KernelError
    from nbplat.remote.sequence.source_part import read_part

    try:
        yield from read_part(task, columns, chunk_rows, encoded=encoded)
    except KernelError as exc:
        raise from_record(exc.record()) from None


def _task(live: LiveFile, deleted: DeletedRows, constants: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """A file as `nbplat.remote.sequence.source_part` reads it: a `remote.task.FileTask` and what its table says."""
    return {
        "kind": "iceberg",
        "path": live.path,
        "rows": live.file.record_count,
        "constants": constants,
        "deleted": deleted.of(live).astype("<i8").tobytes() if live.deletes else b"",
        **shared,
    }


def _with_deletes(live: LiveFile) -> tuple[str, frozenset[str]]:
    """What a file's rows are: its path, and what takes rows out of it."""
    return live.path, frozenset(each.file.file_path for each in live.deletes)


def _operation(snapshot: Snapshot) -> str:
    return "" if snapshot.summary is None else snapshot.summary.operation.value
