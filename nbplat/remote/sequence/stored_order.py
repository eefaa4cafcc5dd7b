"""Rows of the index table from several runs, put into the total order together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from .order import ordering
from .stored_rows import SEEN, TIME, TYPE, UNTIL, WHERE
from .tasks import Recipe

__all__ = ["deduped_together", "ordered_together"]


def ordered_together(rows: pa.Table, recipe: Recipe) -> pa.Table:
    """All rows, as they are, in the total order."""
    return _sorted(rows, recipe, "none")


def deduped_together(rows: pa.Table, recipe: Recipe) -> pa.Table:
    """The rows that stay when copies are looked for among all of them, and until when each is the one that is known."""
    return _sorted(rows, recipe, recipe["dedupe"])


def _sorted(rows: pa.Table, recipe: Recipe, dedupe: str) -> pa.Table:
    names = rows.column_names
    found = ordering(
        rows,
        entity=recipe["entity"],
        type=TYPE,
        types=recipe["types"],
        time_us=rows.column(TIME).cast(pa.int64()).to_numpy(),
        id=recipe["id"],
        hashed=recipe["hashed"],
        seen_us=rows.column(SEEN).cast(pa.int64()).to_numpy() if SEEN in names else None,
        passes=rows.column(WHERE).to_numpy() if WHERE in names else None,
        dedupe=dedupe,
    )
    ordered = rows.take(pa.array(found.order))
    if UNTIL not in names or dedupe == "none":
        return ordered
    at, never = names.index(UNTIL), np.iinfo(np.int64).max
    until = np.full(ordered.num_rows, never) if found.until_us is None else found.until_us
    moments = pa.array(until, pa.int64(), mask=until == never).view(rows.schema.field(at).type)
    return ordered.set_column(at, rows.schema.field(at), moments)
