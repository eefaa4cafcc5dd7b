"""Which bytes of a file belong to a column chunk, read from its walked ``ColumnChunk``.

Field numbers are those of parquet.thrift.
"""

from __future__ import annotations

from nbplat.adapters.parquet.compact import I32, I64, Malformed, Struct, inner, integer

__all__ = ["chunk_extents", "chunk_sizes"]

# ColumnChunk
_META_DATA = 3
_INDEXES = ((4, 5), (6, 7))
"""Offset and length of the offset index and of the column index."""
# ColumnMetaData
_UNCOMPRESSED, _COMPRESSED, _DATA_PAGE, _DICTIONARY_PAGE, _BLOOM, _BLOOM_LENGTH = 6, 7, 9, 11, 14, 15


def chunk_extents(data: bytes, chunk: Struct, end: int) -> list[tuple[int, int]]:
    """First byte and end of the chunk's pages, its page indexes and its bloom filter.

    A bloom filter whose length the writer did not keep is taken to reach to `end`.

    Args:
        data: The footer.
        end: Where the footer begins; nothing may reach beyond it.

    Raises:
        Malformed: a span that does.
    """
    meta = inner(data, chunk, _META_DATA)
    start = integer(data, meta, _DATA_PAGE, I64)
    if _DICTIONARY_PAGE in meta.fields and (dictionary := integer(data, meta, _DICTIONARY_PAGE, I64)):
        start = min(start, dictionary)
    spans = [(start, start + integer(data, meta, _COMPRESSED, I64))]
    if _BLOOM in meta.fields:
        start = integer(data, meta, _BLOOM, I64)
        known = _BLOOM_LENGTH in meta.fields
        spans.append((start, start + integer(data, meta, _BLOOM_LENGTH, I32) if known else end))
    for offset, length in _INDEXES:
        if offset in chunk.fields:
            start = integer(data, chunk, offset, I64)
            spans.append((start, start + integer(data, chunk, length, I32)))
    if any(not 0 <= first <= last <= end for first, last in spans):
        raise Malformed("a chunk outside the file")
    return spans


def chunk_sizes(data: bytes, chunk: Struct) -> tuple[int, int]:
    """Uncompressed and compressed bytes of the chunk, headers included, as its row group's totals count them."""
    meta = inner(data, chunk, _META_DATA)
    return integer(data, meta, _UNCOMPRESSED, I64), integer(data, meta, _COMPRESSED, I64)
