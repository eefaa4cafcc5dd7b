"""A source that fits the memory: screened at once, then bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.failure import KernelError

from .hashing import bucket_of
from .screen import screen, screened_schema
from .tally import add
from .tasks import Recipe

__all__ = ["refuse_early", "rows_by_bucket", "screen_all"]


def screen_all(
    chunks: Iterable[pa.Table], recipe: Recipe, *, limit_bytes: int | None = None
) -> tuple[pa.Table, dict[str, Any]]:
    """Screen every chunk of a source.

    Returns:
        Rows (see `screen.Screened`) and their tally.

    Raises:
        KernelError: ``sequence.too_big``, more than `limit_bytes` would be held; what `screen` and `refuse_early`
            raise.
    """
    found, tallies, held = [], [], 0
    for raw in chunks:
        screened = screen(raw, recipe)
        tallies.append(screened.tally)
        found.append(screened.rows)
        held += screened.rows.nbytes
        if limit_bytes is not None and held > limit_bytes:
            raise KernelError(
                "sequence.too_big",
                f"the events take more than {limit_bytes >> 20:,} MB in memory, and no index is built",
                fix="build one: %sequence build NAME; or raise limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES)",
                kind="RequestError",
            )
    tally = add(tallies)
    refuse_early(tally, recipe)
    return pa.concat_tables(found) if found else screened_schema(recipe).empty_table(), tally


def rows_by_bucket(rows: pa.Table, recipe: Recipe) -> Iterator[pa.Table]:
    """The rows of each bucket, also of an empty one; the buckets in order."""
    if recipe["buckets"] == 1:
        yield rows
        return
    bucket = bucket_of(rows.select(recipe["entity"]), recipe["buckets"])
    # Taking of many chunks would join them anew for each bucket.
    rows = rows.combine_chunks()
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket, minlength=recipe["buckets"])).tolist()
    for start, end in zip([0, *ends], ends):
        yield rows.take(pa.array(order[start:end]))


def refuse_early(tally: dict[str, Any], recipe: Recipe) -> None:
    """Refuse events that were known before they happened, unless they are to be clipped.

    Raises:
        KernelError: ``sequence.early``, with their count and one of them.
    """
    if tally["early"] and recipe["early"] == "refuse":
        raise KernelError(
            "sequence.early",
            f"{tally['early']:,} events were known before they happened, e.g. {tally['early_example']}",
            fix=f"arrival: {{column: {recipe['arrival']}, early: clip}} takes them as known when they happened",
        )
