"""Vocabularies and quantiles of a preview for which nothing was learned yet: from the buckets that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from nbplat.remote.sequence.events import Events
from nbplat.sequence.bound import Bound
from nbplat.sequence.ports import Index
from nbplat.sequence.preview.staged import Staged
from nbplat.sequence.vocab import Fitted, fit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nbplat.sequence.enrich import Joined

__all__ = ["learned_here"]


def learned_here(bound: Bound, index: Index, stages: Sequence[Staged], joined: Mapping[str, Joined]) -> Fitted:
    """Learn from these buckets only; a build learns from all."""
    part = _Part(index, stages)

    def columns(bucket: int, names: Sequence[str]) -> pa.Table:
        events = stages[bucket].events
        return pa.table(
            {
                name: events.rows[name] if name in events.rows.column_names else _joined(events, joined[name])
                for name in names
            }
        )

    return fit(bound.definition, part, bound.index_version, columns)


def _joined(events: Events, of: Joined) -> pa.ChunkedArray:
    """An enrichment of all events at reading; that of the request time as it stands now."""
    at = of.table.rows(of.table.keys(events.rows), events.time_us)
    return of.table.values.rows.column(of.column).take(pa.array(at, mask=at < 0))


class _Part:
    """Some buckets of an index as an index of their own."""

    def __init__(self, index: Index, stages: Sequence[Staged]) -> None:
        self._index, self._stages = index, stages
        self.record, self.report, self.source, self.pin = index.record, index.report, index.source, index.pin
        self.schema, self.types, self.buckets = index.schema, index.types, len(stages)

    def bucket_of(self, entity: pa.Table) -> npt.NDArray[np.int32]:
        return self._index.bucket_of(entity)

    def events(self, bucket: int, columns: Sequence[str]) -> Events:
        found = self._stages[bucket].events
        return found._replace(rows=found.rows.select(list(columns)))
