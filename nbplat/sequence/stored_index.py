"""An index as it was built: read bucket by bucket from its table, at one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from nbplat.errors import InternalError, NotFound, did_you_mean
from nbplat.remote.sequence.stored_rows import RESERVED, from_stored, stored_columns
from nbplat.sequence.failures import our_errors
from nbplat.sequence.index_report import IndexReport
from nbplat.sequence.memory_index import place_in_buckets
from nbplat.sequence.ports import IndexState, IndexTables, SourcePin
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nbplat.remote.sequence.events import Events

__all__ = ["StoredIndex"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """Implements `nbplat.sequence.ports.Index`.

    Attributes:
        tables: What reads it.
        state: At the snapshot that is read; it was published.
    """

    tables: IndexTables
    state: IndexState

    @property
    def record(self) -> Mapping[str, Any]:
        """See the port."""
        return self.state.record

    @property
    def report(self) -> IndexReport:
        """See the port."""
        return _published(self.state.report, self.state)

    @property
    def source(self) -> SourcePin:
        """See the port."""
        return _published(self.state.source, self.state)

    @property
    def pin(self) -> SnapshotPin | None:
        """See the port."""
        return self.state.pin

    @property
    def schema(self) -> pa.Schema:
        """See the port."""
        fields = [pa.field(each.name, each.type) for each in self.state.schema if not each.name.startswith(RESERVED)]
        return pa.schema(fields)

    @property
    def types(self) -> tuple[str, ...]:
        """See the port."""
        return tuple(sorted(self.record["types"]))

    @property
    def buckets(self) -> int:
        """See the port."""
        return self.state.buckets

    def bucket_of(self, entity: pa.Table) -> npt.NDArray[np.int32]:
        """See the port."""
        types = [self.state.schema.field(name).type for name in self.record["entity"]]
        return place_in_buckets(entity, types, self.buckets)

    def events(self, bucket: int, columns: Sequence[str], *, later: bool = False) -> Events:
        """See the port.

        A bucket of one file is read as it lies; of several, those columns as well by which their rows are merged.

        Raises:
            NotFound: ``sequence.column``, the index has no such column.
        """
        from nbplat.remote.sequence.order import merge_sorted

        known = self.schema.names
        for name in columns:
            if name not in known:
                message = f"the index {self.state.pin.table} has no column {name!r}"
                raise NotFound("sequence.column", message, fix=did_you_mean(name, known))
        runs = len(self.tables.files(self.state.pin, bucket))
        order = [*self.record["id"], *sorted(self.record["columns"])] if runs > 1 else []
        wanted = list(dict.fromkeys([*columns, *order]))
        read = stored_columns(self.state.schema, self.record["entity"], wanted)
        with our_errors():
            tables = self.tables.rows(self.state.pin, bucket, read) if runs else ()
            parts = [self._events(table, wanted) for table in tables] or [self._nothing(read, wanted)]
            found = merge_sorted(
                parts,
                id=self.record["id"],
                hashed=sorted(self.record["columns"]),
                dedupe=self.record["dedupe"],
            )
        return found._replace(rows=found.rows.select(list(columns)))

    def _events(self, table: pa.Table, columns: Sequence[str]) -> Events:
        return from_stored(table, entity=self.record["entity"], types=self.types, columns=columns)

    def _nothing(self, read: Sequence[str], columns: Sequence[str]) -> Events:
        fields = [pa.field(name, self.state.schema.field(name).type) for name in read]
        return self._events(pa.schema(fields).empty_table(), columns)


def _published(value: T | None, state: IndexState) -> T:
    if value is None:
        raise InternalError(
            "sequence.unpublished", f"{state.pin.table} has no index yet", fix="build it: %sequence build NAME"
        )
    return value
