"""What examples select, as places in the index: two integers a type, and the few places inside that are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.sequence.select import selected

if TYPE_CHECKING:
    from nbplat.sequence.bound import Bound
    from nbplat.sequence.examples import Examples
    from nbplat.sequence.ports import Index

__all__ = ["range_table"]


def range_table(index: Index, bound: Bound, examples: Examples) -> pa.Table:
    """One row an example, in their order; no event is copied.

    Returns:
        ``bucket`` (int32), and for each type ``<type>__lo`` and ``<type>__hi`` (int64), a half-open range of places
        among the bucket's events in their total order (with a ``where`` among those for which it holds), equal where
        the history is empty; and ``<type>__skipped`` (list of int64), the places inside it that are not selected. What
        ``nearest`` and the size leave out is inside. The schema's metadata names definition, index and snapshot.
    """
    definition = bound.definition
    count = len(examples)
    bucket = np.zeros(count, np.int32)
    ends = [np.zeros((2, count), np.int64) for _ in definition.events]
    skipped: list[list[Any]] = [[()] * count for _ in definition.events]
    for found in selected(index, definition, examples, ()):
        bucket[found.examples] = found.bucket
        for mine, left_out, selection in zip(ends, skipped, found.selections, strict=True):
            mine[:, found.examples] = selection.lo, selection.hi
            for at in np.flatnonzero(np.diff(selection.skipped_at)):
                first, last = selection.skipped_at[at : at + 2]
                left_out[found.examples[at]] = selection.skipped[first:last].tolist()
    columns: dict[str, Any] = {"bucket": bucket}
    for rule, (low, high), left_out in zip(definition.events, ends, skipped, strict=True):
        columns[f"{rule.event_type}__lo"], columns[f"{rule.event_type}__hi"] = low, high
        columns[f"{rule.event_type}__skipped"] = pa.array(left_out, pa.list_(pa.int64()))
    pin = index.pin
    built = {} if pin is None else {"nbplat.index": pin.table, "nbplat.snapshot-id": str(pin.snapshot_id)}
    return pa.table(columns).replace_schema_metadata({**built, "nbplat.definition": bound.version})
