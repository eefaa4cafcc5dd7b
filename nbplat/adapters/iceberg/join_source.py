"""Tables as a training join plans and reads them: partitions and counts of pinned files, recipes, footers, tags."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.file_facts import ColumnBytes, filled_fields, partition_words
from nbplat.adapters.iceberg.live import LiveFile, refuse_unreadable
from nbplat.adapters.iceberg.manifests import Manifests, garbage_later
from nbplat.adapters.iceberg.refs import set_ref
from nbplat.adapters.iceberg.scan import check_pin, pinned_files, pinned_schema, window_filter
from nbplat.adapters.iceberg.tables import IcebergTables
from nbplat.errors import NotFound, RemoteError, did_you_mean, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.project import matching
from nbplat.remote.read import open_parquet
from nbplat.remote.training.task import JoinFile
from nbplat.terms import SnapshotPin, Window
from nbplat.training.join.ports import PartitionPart, RowGroup, TableFile, TableState

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

__all__ = ["IcebergJoinSource"]

_SUMMARY = "nbplat."
_TRIES = 5


class IcebergJoinSource:
    """Implements `nbplat.training.join.ports.JoinSource` over a catalog; keeps what it was asked of."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables = IcebergTables(catalog)
        self._manifests: dict[str, Manifests] = {}
        self._lock = threading.Lock()

    def state(
        self,
        table: str,
        *,
        pin: SnapshotPin | None = None,
        time: str = "",
        window: Window | None = None,
        bounds_of: Sequence[str] = (),
    ) -> TableState:
        """See the port."""
        loaded = load_table(self._catalog, table)
        pin = pin or pin_of(loaded)
        check_pin(loaded, pin)
        schema = pinned_schema(loaded, pin)
        inside = _filter(schema, time, window)
        manifests = self._manifests.setdefault(str(loaded.metadata.table_uuid), Manifests(loaded.io))
        with garbage_later():
            files = pinned_files(loaded, pin, inside, manifests=manifests)
            refuse_unreadable(files, pin.table)
            listed = _listed(loaded, schema, files, bounds_of)
        return TableState(
            pin=pin,
            columns=tuple((field.name, str(field.field_type)) for field in schema.fields),
            specs=_specs(loaded, schema),
            files=listed,
            metadata=loaded.metadata_location,
            provenance=_provenance(loaded, pin),
        )

    def standing(self, table: str) -> tuple[SnapshotPin, Mapping[str, str]] | None:
        """See the port."""
        try:
            loaded = load_table(self._catalog, table)
        except NotFound:
            return None
        pin = pin_of(loaded)
        return pin, _provenance(loaded, pin)

    def schema(self, pin: SnapshotPin, columns: Sequence[str]) -> pa.Schema:
        """See the port."""
        with self._lock:
            return self._tables.schema(pin, columns)

    def names(self, pin: SnapshotPin) -> Mapping[int, Sequence[str]]:
        """See the port."""
        with self._lock:
            return self._tables.names(pin)

    def storage(self, pin: SnapshotPin) -> Mapping[str, str]:
        """See the port."""
        with self._lock:
            return self._tables.storage(pin)

    def recipes(self, pin: SnapshotPin, paths: Sequence[str]) -> list[JoinFile]:
        """See the port."""
        with self._lock:
            reads = self._tables.reads(pin, paths)
        return [
            JoinFile(path=each.path, rows=each.rows, constants=dict(each.constants), deleted=each.deleted)
            for each in reads
        ]

    def row_groups(self, pin: SnapshotPin, path: str, column: str) -> list[RowGroup]:
        """See the port; the column is found as reading finds it: by id, whatever the file calls it."""
        storage = self.storage(pin)
        wanted = self.schema(pin, [column]) if column else ()
        try:
            with open_parquet(path, storage) as reader:
                metadata = reader.metadata
                held = matching(reader.schema_arrow, wanted, self.names(pin)).get(column)
                names = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
                at = names.index(held.name) if held is not None and held.name in names else None
                return [_row_group(metadata.row_group(number), at) for number in range(metadata.num_row_groups)]
        except KernelError as error:
            raise from_record(error.record()) from None

    def tag(self, pin: SnapshotPin, name: str) -> bool:
        """See the port."""
        from pyiceberg.exceptions import BadRequestError, CommitFailedException

        if pin.snapshot_id is None:
            return False
        table = load_table(self._catalog, pin.table)
        check_pin(table, pin)
        for _ in range(_TRIES):
            held = table.metadata.refs.get(name)
            if held is not None and held.snapshot_id == pin.snapshot_id:
                return True
            try:
                self._commit(table, set_ref(name, pin.snapshot_id, tag=True))
            except CommitFailedException:
                # Somebody else's commit came between; ours touches nothing of it.
                table = load_table(self._catalog, pin.table)
            except (NotImplementedError, BadRequestError):
                # Catalogs that change no metadata at all (DynamoDB, by pyiceberg), or that take no tags.
                return False
            except RemoteError as error:
                # Whoever may only read can train, on snapshots that nobody holds; any other trouble is the caller's.
                if error.code != "catalog.refused":
                    raise
                return False
            else:
                return True
        return False

    def untag(self, pin: SnapshotPin, name: str) -> None:
        """See the port."""
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import RemoveSnapshotRefUpdate

        for _ in range(_TRIES):
            try:
                table = load_table(self._catalog, pin.table)
            except NotFound:
                return
            if name not in table.metadata.refs:
                return
            with contextlib.suppress(CommitFailedException):
                self._commit(table, RemoveSnapshotRefUpdate(ref_name=name))
                return

    def _commit(self, table: Table, update: Any) -> None:
        from pyiceberg.table.update import AssertTableUUID

        self._catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), (update,))


def _filter(schema: Schema, time: str, window: Window | None) -> str:
    if not time or window is None or window.unbounded:
        return ""
    kinds = {field.name: str(field.field_type) for field in schema.fields}
    if time not in kinds:
        raise NotFound("training.column", f"there is no column {time!r}", fix=did_you_mean(time, kinds))
    return window_filter(time, window, kinds[time])


def _provenance(table: Table, pin: SnapshotPin) -> dict[str, str]:
    snapshot = table.metadata.snapshot_by_id(pin.snapshot_id) if pin.snapshot_id is not None else None
    summary = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary else {}
    return {name[len(_SUMMARY) :]: str(value) for name, value in summary.items() if name.startswith(_SUMMARY)}


def _specs(table: Table, schema: Schema) -> dict[int, tuple[PartitionPart, ...]]:
    known = set(schema.field_ids)
    return {
        number: tuple(
            PartitionPart(
                source=schema.find_column_name(field.source_id) or "" if field.source_id in known else "",
                transform=str(field.transform),
                kind=str(schema.find_type(field.source_id)) if field.source_id in known else "",
            )
            for field in spec.fields
        )
        for number, spec in table.specs().items()
    }


def _listed(table: Table, schema: Schema, files: Sequence[LiveFile], bounds_of: Sequence[str]) -> tuple[TableFile, ...]:
    ids = {field.name: field.field_id for field in schema.fields}
    names = {number: name for name, number in ids.items()}
    words, filled = partition_words(table, schema), filled_fields(table)
    periods = _periods(table, schema)
    ordering = [ids[name] for name in bounds_of if name in ids]
    found = []
    for live in files:
        file = live.file
        held = filled(file)
        nulls = file.null_value_counts or {}
        found.append(
            TableFile(
                path=live.path,
                rows=file.record_count,
                deletes=len(live.deletes),
                spec=file.spec_id,
                values=tuple(_plain(file.partition[at]) for at in range(len(file.partition))),
                words=words(file),
                period=periods(file),
                groups=len(file.split_offsets or ()) or 1,
                filled=None if held is None else frozenset(names[number] for number in held if number in names),
                nulls={names[number]: count for number, count in nulls.items() if number in names},
                sizes=ColumnBytes(file.column_sizes, ids),
                bounds=_bounds(file, ordering),
            )
        )
    return tuple(found)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        # Negative zero equals zero as a key, so their partitions meet.
        value += 0.0
    return value if value is None or isinstance(value, int | str | bool) else str(value)


def _periods(table: Table, schema: Schema) -> Any:
    """Gives the first time partition of a file in words; ``all`` without one."""
    from pyiceberg.transforms import TimeTransform

    known = set(schema.field_ids)
    places: dict[int, tuple[int, Any, Any] | None] = {}
    for number, spec in table.specs().items():
        places[number] = next(
            (
                (at, field.transform, schema.find_type(field.source_id))
                for at, field in enumerate(spec.fields)
                if field.source_id in known
                and (
                    isinstance(field.transform, TimeTransform)
                    or (str(field.transform) == "identity" and str(schema.find_type(field.source_id)) == "date")
                )
            ),
            None,
        )
    drawn: dict[tuple[int, Any], str] = {}

    def period(file: DataFile) -> str:
        place = places[file.spec_id]
        if place is None:
            return "all"
        at, transform, kind = place
        key = (file.spec_id, file.partition[at])
        if key not in drawn:
            drawn[key] = str(transform.to_human_string(kind, file.partition[at]))
        return drawn[key]

    return period


def _bounds(file: DataFile, ids: Sequence[int]) -> str:
    """Bounds of the key columns and the row count: what adding a column to a file does not change."""
    lower, upper = file.lower_bounds or {}, file.upper_bounds or {}
    parts = [(lower.get(number) or b"") + b"|" + (upper.get(number) or b"") for number in ids]
    return hashlib.sha256(b"/".join([*parts, str(file.record_count).encode()])).hexdigest()[:16]


def _row_group(group: Any, at: int | None) -> RowGroup:
    least = greatest = None
    if at is not None:
        column = group.column(at)
        statistics = column.statistics
        # NaNs make the bounds of floats say nothing.
        if statistics is not None and statistics.has_min_max and column.physical_type not in ("FLOAT", "DOUBLE"):
            least, greatest = statistics.min, statistics.max
    return RowGroup(group.num_rows, least, greatest)
