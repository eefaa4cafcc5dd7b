"""Vocabularies and quantiles of a preview for which nothing was learned yet: from the buckets that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.remote.sequence.events import Events
from nbplat.sequence.bound import Bound
from nbplat.sequence.ports import Index
from nbplat.sequence.preview.staged import Staged
from nbplat.sequence.vocab import Fitted, fit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from nbplat.sequence.enrich import Joined

__all__ = ["learned_here"]


def learned_here(bound: Bound, index: Index, stages: Sequence[Staged], joined: Mapping[str, Joined]) -> Fitted:
    """Learn from these buckets only; a build learns from all."""
    return fit(bound.definition, _Part(index, stages), bound.index_version, joined)


class _Part:
    """Some buckets of an index as an index of their own."""

    def __init__(self, index: Index, stages: Sequence[Staged]) -> None:
        self._index, self._stages = index, stages
        self.record, self.report, self.source, self.pin = index.record, index.report, index.source, index.pin
        self.schema, self.types, self.buckets = index.schema, index.types, len(stages)

    def bucket_of(self, entity: pa.Table) -> npt.NDArray[np.int32]:
        return self._index.bucket_of(entity)

    def events(self, bucket: int, columns: Sequence[str], *, later: bool = False) -> Events:
        found = self._stages[bucket].events
        return found._replace(rows=found.rows.select(list(columns)))
