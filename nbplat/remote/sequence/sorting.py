"""From screened rows of whole entities to sorted events: enrichments, conditions, dedupe, order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .conditions import passes
from .enriching import enriched
from .events import Events
from .hashing import bucket_of
from .order import Ordering, counted, ordering
from .stored_rows import SEEN, TIME
from .tally import new_tally
from .tasks import Recipe

__all__ = ["order_buckets", "sort_events"]


def sort_events(rows: pa.Table, recipe: Recipe) -> tuple[Events, dict[str, Any]]:
    """Sort screened rows (see `screen`) of whole entities; the result does not depend on the order of the rows.

    Returns:
        Events whose rows are the recipe's `columns`, and their tally.
    """
    found, rows, tally = _ordered(rows, recipe, None)
    return found.events(rows), tally


def order_buckets(rows: pa.Table, recipe: Recipe) -> tuple[list[Ordering], pa.Table, dict[str, Any]]:
    """The order of screened rows of all entities, sorted at once; `sort_events` of each bucket's rows gives the same.

    Returns:
        Each bucket's order, also of an empty one; the rows in the types of the index, unsorted, from which its events
        are taken column by column when they are asked for (`Ordering.events`); and the tally of all.
    """
    bucket = bucket_of(rows.select(recipe["entity"]), recipe["buckets"])
    found, rows, tally = _ordered(rows, recipe, bucket)
    return list(found.split(bucket, recipe["buckets"])), rows, tally


def _ordered(rows: pa.Table, recipe: Recipe, bucket: Any | None) -> tuple[Ordering, pa.Table, dict[str, Any]]:
    """The order of the rows, and the rows in the types of the index."""
    tally = new_tally()
    time_us = rows.column(TIME).to_numpy()
    seen_us = rows.column(SEEN).to_numpy() if recipe["arrival"] else None
    rows = rows.select(recipe["read"])
    if recipe["enrich"]:
        joined = enriched(rows, time_us, recipe["enrich"])
        rows, tally["enriched"] = joined.rows, dict(joined.hits)
    found = ordering(
        rows,
        entity=recipe["entity"],
        type=recipe["type"],
        types=recipe["types"],
        time_us=time_us,
        id=recipe["id"],
        hashed=recipe["hashed"],
        seen_us=seen_us,
        passes=passes(rows, recipe["conditions"], type=recipe["type"]) if recipe["conditions"] else None,
        dedupe=recipe["dedupe"],
        bucket=bucket,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(recipe["schema"]))
    _count(tally, found)
    return found, rows.select(recipe["columns"]).cast(schema), tally


def _count(tally: dict[str, Any], found: Ordering) -> None:
    counts = found.counts
    tally["dropped"], tally["tied"], tally["rows"] = counts.copies, counts.tied, counts.kept
    tally["equal"], tally["entities"] = counts.equal, found.entities.num_rows
    if counts.kept:
        tally["first_us"], tally["last_us"] = int(found.time_us.min()), int(found.time_us.max())
    by_type = counted(found.type, len(found.types))
    tally["by_type"] = {name: count for name, count in zip(found.types, by_type) if count}
