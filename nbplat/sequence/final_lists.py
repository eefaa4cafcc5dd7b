"""The last events of every entity, without examples: what a store for serving, or a look at all users, begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.sequence.batches import Batches
from nbplat.sequence.definition import Definition
from nbplat.sequence.enrich import Joined
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index
from nbplat.sequence.vocab import Fitted

__all__ = ["final_lists"]


def final_lists(
    index: Index,
    definition: Definition,
    *,
    fitted: Fitted,
    joined: Mapping[str, Joined] | None = None,
    at_us: int | None = None,
    rows: int = 1 << 16,
    **options: Any,
) -> Iterator[pa.RecordBatch]:
    """Every entity of the index and its sequence as lists, by bucket and entity; one bucket is held at a time.

    The rules' `last`, the size and the order hold as declared. Nothing of this is as of an example: it must not be
    trained on beside earlier labels.

    Args:
        at_us: The moment that it is as of; ages are measured from it, and `within`, `strict` and the gap hold. None:
            every event counts, the window does not hold, and ages are measured from the newest event of the index.
        rows: Of a record batch, at most.
        options: As in `Batches`: ``columns``, and ``format``.

    Yields:
        The entity columns, the instant under the name of ``as_of.time`` where `at_us` is given, and the lists.
    """
    at_end = at_us is None
    asked = replace(definition, as_of=replace(definition.as_of, at="end" if at_end else "example"))
    moment = (index.report.last_us or 0) if at_us is None else at_us
    batches = Batches(
        index,
        asked,
        _entities(pa.schema([index.schema.field(name) for name in definition.entity]).empty_table(), moment, index),
        fitted=fitted,
        joined=joined,
        rows=rows,
        order="bucket",
        **{"format": "arrow", **options},
    )
    for bucket in range(index.buckets):
        events = index.events(bucket, batches.index_columns, later=True)
        if events.entities.num_rows:
            yield from batches.of_events(events, bucket, _entities(events.entities, moment, index))


def _entities(whose: pa.Table, moment: int, index: Index) -> Examples:
    return Examples(whose, np.full(whose.num_rows, moment, np.int64), pa.table({}), index.source)
