"""From screened rows of whole entities to sorted events: enrichments, conditions, dedupe, order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from .conditions import passes
from .enriching import enriched
from .events import Events
from .order import Counts, ordering
from .stored_rows import SEEN, TIME
from .tally import new_tally
from .tasks import Recipe

__all__ = ["sort_events"]


def sort_events(rows: pa.Table, recipe: Recipe) -> tuple[Events, dict[str, Any]]:
    """Sort screened rows (see `screen`) of whole entities; the result does not depend on the order of the rows.

    Returns:
        Events whose rows are the recipe's `columns`, and their tally.
    """
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
    )
    schema = pa.ipc.read_schema(pa.py_buffer(recipe["schema"]))
    events = found.events(rows.select(recipe["columns"]).cast(schema))
    _count(tally, events, found.counts)
    return events, tally


def _count(tally: dict[str, Any], events: Events, counts: Counts) -> None:
    tally["dropped"], tally["tied"], tally["rows"] = counts.copies, counts.tied, counts.kept
    tally["equal"], tally["entities"] = counts.equal, events.entities.num_rows
    if counts.kept:
        tally["first_us"], tally["last_us"] = int(events.time_us.min()), int(events.time_us.max())
    by_type = np.bincount(events.type, minlength=len(events.types)).tolist()
    tally["by_type"] = {name: count for name, count in zip(events.types, by_type) if count}
