"""An index in memory: for sources small enough, and for previews before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence.stored_rows import TYPE
from nbplat.remote.sequence.tasks import Recipe
from nbplat.sequence.failures import our_errors
from nbplat.sequence.index_report import IndexReport
from nbplat.sequence.later_rows import LaterRows
from nbplat.sequence.ports import EventSource, SourcePin
from nbplat.sequence.report import report_of
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.remote.sequence.deal import Dealt
    from nbplat.remote.sequence.events import Events
    from nbplat.remote.sequence.order import Ordering

__all__ = ["MemoryIndex", "index_in_memory", "place_in_buckets"]


@dataclass(frozen=True, slots=True)
class MemoryIndex:
    """Implements `nbplat.sequence.ports.Index`.

    Attributes:
        rows: Of each bucket, in the order in which they were read; lean, see `lean_schema`.
        recipe: How they were made.
        order: Of each bucket; its events are taken from `rows` when they are asked for.
    """

    record: Mapping[str, Any]
    report: IndexReport
    source: SourcePin
    schema: pa.Schema
    types: tuple[str, ...]
    buckets: int
    entity: tuple[str, ...]
    rows: Dealt = field(repr=False)
    recipe: Recipe = field(repr=False)
    order: tuple[Ordering, ...] = field(repr=False)

    @property
    def pin(self) -> SnapshotPin | None:
        """See the port."""
        return None

    def bucket_of(self, entity: pa.Table) -> npt.NDArray[np.int32]:
        """See the port."""
        return place_in_buckets(entity, [self.schema.field(name).type for name in self.entity], self.buckets)

    def events(self, bucket: int, columns: Sequence[str], *, later: bool = False) -> Events:
        """See the port."""
        rows = self.rows.of(bucket)
        found = {name: self._column(rows, name) for name in columns}
        order = self.order[bucket]
        return order.with_rows(LaterRows(found, order.order)) if later else order.events(pa.table(found))

    def _column(self, rows: pa.Table, name: str) -> pa.ChunkedArray:
        """In the type of the index, and in one piece: taking of many would join them anew each time."""
        from nbplat.remote.sequence.screen import whole_column

        column = whole_column(rows, name, self.recipe) if name in self.recipe["read"] else rows.column(name)
        kind = self.schema.field(name).type
        column = column if column.type == kind else column.cast(kind)
        joined = column.combine_chunks()
        return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


def place_in_buckets(entity: pa.Table, types: Sequence[pa.DataType], buckets: int) -> npt.NDArray[np.int32]:
    """See `Index.bucket_of`; `types` are those that the entity columns have in the index."""
    from nbplat.remote.sequence.hashing import bucket_of

    columns = []
    for column, kind in zip(entity.columns, types, strict=True):
        # A value that has no counterpart in the index belongs to no entity of it: any bucket answers so.
        columns.append(column if column.type == kind else _cast(column, kind))
    found: npt.NDArray[np.int32] = bucket_of(pa.table(columns, names=entity.column_names), buckets)
    return np.maximum(found, 0)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.chunked_array([pa.nulls(len(column), kind)])


def index_in_memory(
    record: Mapping[str, Any], recipe: Recipe, source: EventSource, *, limit_bytes: int | None = None
) -> MemoryIndex:
    """Read a source and sort its events.

    Args:
        record: The index record.
        recipe: Its `buckets` are dealt in memory, to bound what one question touches.
        limit_bytes: Of rows held, in memory; None: no limit.

    Raises:
        RequestError: ``sequence.too_big``, the source has more.
        DataError: times that cannot be read; ``sequence.early``.
    """
    from nbplat.remote.sequence.direct import screen_all
    from nbplat.remote.sequence.screen import lean_schema, screened_schema
    from nbplat.remote.sequence.sorting import completed, in_order
    from nbplat.remote.sequence.tally import add

    # What enriches, and conditions, are asked of the columns as they are declared.
    whole = bool(recipe["enrich"] or recipe["conditions"])
    with our_errors():
        schema = screened_schema(recipe) if whole else lean_schema(recipe, source.schema)
        chunks = source.read(recipe["read"], encoded=[recipe["type"]] if TYPE in schema.names else [])
        rows, tally = screen_all(chunks, recipe, limit_bytes=limit_bytes, schema=schema)
        tallies = [tally]
        if whole:
            table, tally = completed(rows.whole(), recipe)
            rows = rows.replaced(table)
            tallies.append(tally)
        order = []
        for bucket in range(recipe["buckets"]):
            found, tally = in_order(rows.of(bucket), recipe)
            order.append(found)
            tallies.append(tally)
    size = rows.bytes + 8 * sum(len(each.time_us) for each in order)
    return MemoryIndex(
        record=record,
        report=report_of(add(tallies), recipe, source.pin.name, size),
        source=source.pin,
        schema=pa.ipc.read_schema(pa.py_buffer(recipe["schema"])),
        types=tuple(recipe["types"]),
        buckets=recipe["buckets"],
        entity=tuple(recipe["entity"]),
        rows=rows,
        recipe=recipe,
        order=tuple(order),
    )
