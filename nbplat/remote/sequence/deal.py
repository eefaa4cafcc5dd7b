"""Rows in memory dealt to buckets: a piece at a time, so that putting them into order stays in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Dealt", "bucket_order"]

# Rows of a piece. Larger ones leave the cache, of smaller ones there are many.
_PIECE = 1 << 17


def bucket_order(bucket: Any, buckets: int) -> tuple[Any, Any]:
    """Rows by bucket, those of one in their own order; and where each bucket begins, ``int64[buckets + 1]``."""
    # Numpy sorts integers of 16 bits in linear time.
    narrow = bucket.astype(np.uint16) if buckets <= 1 << 16 else bucket
    begins = np.zeros(buckets + 1, np.int64)
    np.cumsum(np.bincount(bucket, minlength=buckets), out=begins[1:])
    return np.argsort(narrow, kind="stable"), begins


class Dealt:
    """Collects rows and gives those of a bucket, which lie in slices of the pieces.

    Args:
        schema: Of the rows.
    """

    def __init__(self, schema: pa.Schema, buckets: int) -> None:
        self.schema, self.buckets = schema, buckets
        self.bytes = 0
        self._pieces: list[pa.Table] = []
        self._begins: list[list[int]] = []

    def take(self, rows: pa.Table, bucket: Any | None) -> None:
        """Take rows with their buckets, ``int32[rows]``; None: all of the first one."""
        for at in range(0, rows.num_rows, _PIECE):
            piece = rows.slice(at, _PIECE)
            begins = [0, *[piece.num_rows] * self.buckets]
            if bucket is not None:
                order, found = bucket_order(bucket[at : at + _PIECE], self.buckets)
                piece, begins = piece.take(pa.array(order)), found.tolist()
            self.bytes += piece.nbytes
            self._pieces.append(piece)
            self._begins.append(begins)

    def of(self, bucket: int) -> pa.Table:
        """Rows of a bucket, in the order in which they came."""
        some = [
            piece.slice(begins[bucket], begins[bucket + 1] - begins[bucket])
            for piece, begins in zip(self._pieces, self._begins)
            if begins[bucket + 1] > begins[bucket]
        ]
        return pa.concat_tables(some) if some else self.schema.empty_table()

    def whole(self) -> pa.Table:
        """All rows, in an order of no meaning."""
        return pa.concat_tables(self._pieces) if self._pieces else self.schema.empty_table()

    def replaced(self, rows: pa.Table) -> Dealt:
        """The same with other columns.

        Args:
            rows: As many as `whole` gave, in its order.
        """
        found = Dealt(rows.schema, self.buckets)
        at = 0
        for piece in self._pieces:
            found._pieces.append(rows.slice(at, piece.num_rows))
            at += piece.num_rows
        found._begins, found.bytes = self._begins, rows.nbytes
        return found
