"""A bucket that does not fit the memory: cut by entity into ranges that do, each read in a pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.failure import KernelError

from .order import ordering
from .tasks import Recipe

__all__ = ["WORKING", "entity_ranges"]

WORKING = 4
"""Bytes that sorting needs for each byte of rows: the rows, their sorted copy, keys and order."""


def entity_ranges(
    batches: Callable[[list[str] | None], Iterable[pa.RecordBatch]], recipe: Recipe, rows: int, size: int, fits: int
) -> Iterator[pa.Table]:
    """Rows of a bucket in tables of whole entities, the entities ascending from table to table; none of an empty one.

    Args:
        batches: Reads the bucket, some columns or all (None); each call is a pass.
        rows, size: Of the bucket.
        fits: How many bytes of rows may be in memory.

    Raises:
        KernelError: ``sequence.heavy_entity``: one entity alone has more.
    """
    if not rows:
        return
    if size <= fits:
        yield pa.Table.from_batches(list(batches(None)))
        return
    names, counts = _entities(batches, recipe)
    most = max(1, fits * rows // size)
    if counts.max() > most:
        _refuse(names, counts, most)
    # Greedy: a range ends before the entity that would not fit any more.
    number = np.zeros(len(counts), np.int32)
    held = at = 0
    for place, count in enumerate(counts.tolist()):
        if held and held + count > most:
            at, held = at + 1, 0
        held += count
        number[place] = at
    for wanted in range(at + 1):
        yield _of_range(batches, recipe, names, number, wanted)


_NO_ENTITIES = pa.table({})


def _entities(batches: Callable[[list[str] | None], Iterable[pa.RecordBatch]], recipe: Recipe) -> tuple[pa.Table, Any]:
    """Distinct entities in the index's order, and the rows of each."""
    found = _NO_ENTITIES
    for batch in batches(recipe["entity"]):
        more = _counted(
            pa.Table.from_batches([batch]).append_column("\0rows", pa.array(np.ones(batch.num_rows, np.int64)))
        )
        found = _counted(pa.concat_tables([found, more])) if found.num_columns else more
    one = found.append_column("\0type", pa.array(["x"] * found.num_rows))
    order = ordering(
        one, entity=recipe["entity"], type="\0type", types=["x"], time_us=np.zeros(found.num_rows, np.int64)
    ).order
    sorted_ = found.take(pa.array(order))
    return sorted_.select(recipe["entity"]), sorted_.column("\0rows").to_numpy()


def _counted(table: pa.Table) -> pa.Table:
    names = [name for name in table.column_names if name != "\0rows"]
    counted = table.group_by(names).aggregate([("\0rows", "sum")])
    return counted.rename_columns([*names, "\0rows"])


def _of_range(
    batches: Callable[[list[str] | None], Iterable[pa.RecordBatch]],
    recipe: Recipe,
    names: pa.Table,
    number: Any,
    wanted: int,
) -> pa.Table:
    mine = names.filter(pa.array(number == wanted))
    kept = []
    for batch in batches(None):
        table = pa.Table.from_batches([batch])
        keys = table.select(recipe["entity"])
        joined = keys.append_column("\0row", pa.array(np.arange(table.num_rows))).join(
            mine, keys=recipe["entity"], join_type="left semi"
        )
        kept.append(table.take(pa.array(np.sort(joined.column("\0row").to_numpy()))))
    return pa.concat_tables(kept)


def _refuse(names: pa.Table, counts: Any, most: int) -> None:
    at = int(np.argmax(counts))
    entity = ", ".join(f"{name} {names.column(name)[at].as_py()!r}" for name in names.column_names)
    raise KernelError(
        "sequence.heavy_entity",
        f"{entity} has {int(counts[at]):,} events, and {most:,} fit into the memory of a task",
        fix="raise limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES), lower limits.threads, or leave the entity out at"
        " the source",
    )
