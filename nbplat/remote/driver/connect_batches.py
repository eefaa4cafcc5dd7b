"""A DataFrame of a Spark Connect server as Arrow batches, as the server sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["connect_batches", "is_connect"]

_MOST_ROWS = (1 << 31) - 2


def is_connect(frame: Any) -> bool:
    """Whether a DataFrame is on a server elsewhere."""
    return type(frame).__module__.startswith("pyspark.sql.connect.")


def connect_batches(frame: Any, schema: Any, rows: int) -> Iterator[bytes]:
    """Batches in their order, each the bytes of one Arrow IPC message; all of them are never here together.

    Args:
        schema: What each is cast to, as pyspark's own toArrow does.
        rows: No more than so many and one.
    """
    limited = frame.limit(rows + 1) if rows < _MOST_ROWS else frame
    client, plan = limited.sparkSession.client, limited._plan  # noqa: SLF001 - toArrow takes all rows at once
    for piece in client.to_table_as_iterator(plan.to_proto(client), plan.observations):
        # The server tells Spark's own schema as well.
        if hasattr(piece, "to_batches"):
            for batch in piece.cast(schema).to_batches():
                yield batch.serialize()
