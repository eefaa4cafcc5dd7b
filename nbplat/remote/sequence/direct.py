"""A source that fits the memory: screened at once and dealt to buckets, then sorted bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from nbplat.remote.failure import KernelError

from .deal import Dealt
from .hashing import bucket_of
from .screen import screen, screened_schema
from .tally import add
from .tasks import Recipe

__all__ = ["refuse_early", "screen_all"]


def screen_all(
    chunks: Iterable[pa.Table], recipe: Recipe, *, limit_bytes: int | None = None, schema: pa.Schema | None = None
) -> tuple[Dealt, dict[str, Any]]:
    """Screen every chunk of a source and deal its events to the buckets.

    Args:
        schema: See `screen`.

    Returns:
        Rows (see `screen.Screened`) and their tally.

    Raises:
        KernelError: ``sequence.too_big``, more than `limit_bytes` would be held; what `screen` and `refuse_early`
            raise.
    """
    schema = screened_schema(recipe) if schema is None else schema
    found, tallies = Dealt(schema, recipe["buckets"]), []
    for raw in chunks:
        screened = screen(raw, recipe, schema)
        tallies.append(screened.tally)
        rows = screened.rows
        many = recipe["buckets"] > 1
        found.take(rows, bucket_of(rows.select(recipe["entity"]), recipe["buckets"]) if many else None)
        if limit_bytes is not None and found.bytes > limit_bytes:
            raise KernelError(
                "sequence.too_big",
                f"the events take more than {limit_bytes >> 20:,} MB in memory, and no index is built",
                fix="build one: %sequence build NAME; or raise limits.memory_bytes (NBPLAT_LIMITS_MEMORY_BYTES)",
                kind="RequestError",
            )
    tally = add(tallies)
    refuse_early(tally, recipe)
    return found, tally


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
