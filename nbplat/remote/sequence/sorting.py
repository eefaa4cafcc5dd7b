"""From screened rows of whole entities to sorted events: enrichments, conditions, dedupe, order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .conditions import passes
from .enriching import enriched
from .events import Events
from .order import Ordering, counted, ordering
from .screen import type_names, whole_column
from .stored_rows import SEEN, TIME, TYPE, WHERE
from .tally import add, new_tally
from .tasks import Recipe

__all__ = ["completed", "in_order", "sort_events"]


def sort_events(rows: pa.Table, recipe: Recipe) -> tuple[Events, dict[str, Any]]:
    """Sort screened rows (see `screen`) of whole entities; the result does not depend on the order of the rows.

    Returns:
        Events whose rows are the recipe's `columns`, and their tally.
    """
    rows, tally = completed(rows, recipe)
    found, more = in_order(rows, recipe)
    schema = pa.ipc.read_schema(pa.py_buffer(recipe["schema"]))
    return found.events(rows.select(recipe["columns"]).cast(schema)), add([tally, more])


def completed(rows: pa.Table, recipe: Recipe) -> tuple[pa.Table, dict[str, Any]]:
    """Screened rows with the columns that enrich them and, where there are conditions, with ``nb_where``; their tally.

    Rows of all entities may be completed at once: each table that enriches is read once then.
    """
    tally = new_tally()
    time_us = rows.column(TIME).to_numpy()
    if recipe["enrich"]:
        joined = enriched(rows, time_us, recipe["enrich"])
        rows, tally["enriched"] = joined.rows, dict(joined.hits)
    if recipe["conditions"]:
        found = passes(rows, recipe["conditions"], type=recipe["type"])
        rows = rows.append_column(WHERE, pa.array(found, pa.int64()))
    return rows, tally


def in_order(rows: pa.Table, recipe: Recipe) -> tuple[Ordering, dict[str, Any]]:
    """The order of `completed` rows of whole entities, of either schema of `screen`; and their tally."""
    names = rows.column_names
    time_us = rows.column(TIME).to_numpy()
    seen_us = rows.column(SEEN).to_numpy() if recipe["arrival"] else None
    holds = rows.column(WHERE).to_numpy() if WHERE in names else None
    if TYPE in names:
        rows = rows.append_column(recipe["type"], type_names(rows.column(TYPE), recipe["types"]))
    if recipe["time"] not in names:
        rows = rows.append_column(recipe["time"], whole_column(rows, recipe["time"], recipe))
    found = ordering(
        rows,
        entity=recipe["entity"],
        type=recipe["type"],
        types=recipe["types"],
        time_us=time_us,
        id=recipe["id"],
        hashed=recipe["hashed"],
        seen_us=seen_us,
        passes=holds,
        dedupe=recipe["dedupe"],
    )
    return found, _counted(found)


def _counted(found: Ordering) -> dict[str, Any]:
    tally, counts = new_tally(), found.counts
    tally["dropped"], tally["tied"], tally["rows"] = counts.copies, counts.tied, counts.kept
    tally["equal"], tally["entities"] = counts.equal, found.entities.num_rows
    if counts.kept:
        tally["first_us"], tally["last_us"] = int(found.time_us.min()), int(found.time_us.max())
    by_type = counted(found.type, len(found.types))
    tally["by_type"] = {name: count for name, count in zip(found.types, by_type) if count}
    return tally
