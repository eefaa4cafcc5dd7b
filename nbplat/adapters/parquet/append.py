"""The chunks that a splice appends: taken from aligned files as bytes, described where they will lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from nbplat.adapters.parquet.compact import I32, Malformed, integer, walk
from nbplat.adapters.parquet.footer import Footer, damaged, decode, encode, idl, read_footer, top_level_spans
from nbplat.adapters.parquet.merge import AddedColumns, Chunk
from nbplat.adapters.parquet.paths import Element, field_paths
from nbplat.backfill.ports import Addition
from nbplat.errors import DataError
from nbplat.terms import Span

__all__ = ["Source", "chunk_span", "open_source", "tail_of"]

_BLOOM_HEADER_BYTES = 64
"""More than its few numbers take."""


@dataclass(frozen=True, slots=True)
class Source:
    """An aligned file and what is taken from it.

    Attributes:
        names: The top-level columns taken, in the order asked for.
        field_ids: Element of the file's flattened schema -> field id in the table.
    """

    file: BinaryIO
    where: str
    footer: Footer
    names: tuple[str, ...]
    field_ids: Mapping[int, int]

    @property
    def group_rows(self) -> list[int]:
        return [group.num_rows for group in self.footer.metadata.row_groups]


def open_source(file: BinaryIO, addition: Addition, base: str) -> Source:
    """Read an aligned file's footer and find the columns in it.

    Args:
        base: Named in refusals.

    Raises:
        DataError: damaged or encrypted; a column is missing; a field of a nested column has no id.
    """
    footer = read_footer(file, addition.path)
    schema = footer.metadata.schema
    try:
        spans = top_level_spans(footer.metadata)
        paths = field_paths([_element(element) for element in schema[1:]])
    except (AttributeError, IndexError, RecursionError, TypeError):  # thriftpy2 gives None for what is missing
        raise damaged(addition.path) from None
    wanted = {path: addition.field_ids.get(".".join(path)) for path in paths}
    names = tuple(name for name in addition.field_ids if (name,) in wanted)
    reached = {".".join(path) for path in wanted if path[0] in names}
    if lost := next((name for name in addition.field_ids if name not in reached), None):
        raise DataError(
            "splice.column_missing",
            f"the staged file has no column {lost!r}",
            fix="stage this file again",
            where=base,
        )
    if bare := next((path for path, number in wanted.items() if path[0] in names and number is None), None):
        raise DataError(
            "splice.field_ids",
            f"no field id is given for {'.'.join(bare)!r} of the staged file",
            fix="stage this file again",
            where=base,
        )
    if any(name not in spans for name in names):
        raise damaged(addition.path)
    ids = {paths[path] + 1: number for path, number in wanted.items() if number is not None and path[0] in names}
    return Source(file, addition.path, footer, names, ids)


def tail_of(sources: list[Source], at: int) -> tuple[list[bytes | Span], AddedColumns]:
    """Lay out every chunk of the sources from the offset `at` on: pages, then bloom filters, then page indexes.

    The chunks of one row group lie together, as readers that cut files into splits expect.

    Returns:
        The bytes to append, and their description for the footer.
    """
    tail = _Tail(at)
    taken = [_chunks(source) for source in sources]
    groups = len(taken[0]) if taken else 0
    moved: list[tuple[Source, Any, int]] = []
    for group in range(groups):
        for source, chunks in zip(sources, taken, strict=True):
            for chunk in chunks[group]:
                start, length = chunk_span(chunk.meta_data)
                shift = tail.span(source.file, start, length) - start
                moved.append((source, chunk, shift))
    for source, chunk, shift in moved:
        _move_pages(chunk, shift)
        _take_bloom_filter(chunk, source, tail)
    for source, chunk, shift in moved:
        _take_page_index(chunk, shift, source, tail)
    described = [[_described(chunk) for chunks in taken for chunk in chunks[group]] for group in range(groups)]
    elements, orders = _schema(sources)
    return tail.pieces, AddedColumns(sum(len(source.names) for source in sources), elements, described, orders)


class _Tail:
    """Pieces one after another; spans of a file that follow each other become one."""

    def __init__(self, at: int) -> None:
        self.pieces: list[bytes | Span] = []
        self._end = at

    def span(self, file: BinaryIO, start: int, length: int) -> int:
        """Append a span; returns its offset."""
        at = self._end
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, Span) and last.file is file and last.start + last.length == start:
            self.pieces[-1] = Span(file, last.start, last.length + length)
        else:
            self.pieces.append(Span(file, start, length))
        self._end += length
        return at

    def bytes(self, data: bytes) -> int:
        """Append bytes; returns their offset."""
        at = self._end
        self.pieces.append(data)
        self._end += len(data)
        return at


def chunk_span(meta: Any) -> tuple[int, int]:
    """First byte and length of a column chunk; the dictionary page, when there is one, comes first."""
    start = meta.data_page_offset
    if meta.dictionary_page_offset:
        start = min(start, meta.dictionary_page_offset)
    return start, meta.total_compressed_size


def _chunks(source: Source) -> list[list[Any]]:
    """Per row group, the ``ColumnChunk`` of every leaf that is taken, in the order of the names."""
    metadata, names, chunks = source.footer.metadata, source.names, []
    try:
        spans = top_level_spans(metadata)
        leaves = {name: _leaf_count(metadata, spans[name]) for name in names}
        for group in metadata.row_groups:
            taken: dict[str, list[Any]] = {name: [] for name in names}
            for chunk in group.columns:
                meta = chunk.meta_data
                if meta.path_in_schema[0] in taken:
                    taken[meta.path_in_schema[0]].append(chunk)
                    start, length = chunk_span(meta)
                    if min(start, length, meta.total_uncompressed_size) < 0 or start + length > source.footer.start:
                        raise damaged(source.where)
            if any(len(taken[name]) != leaves[name] for name in names):
                raise damaged(source.where)
            chunks.append([chunk for name in names for chunk in taken[name]])
    except (AttributeError, IndexError, TypeError):
        raise damaged(source.where) from None
    return chunks


def _schema(sources: list[Source]) -> tuple[list[bytes], list[bytes]]:
    """``SchemaElement`` of every column taken, with the table's field ids, and ``ColumnOrder`` of each leaf."""
    elements: list[bytes] = []
    orders: list[bytes] = []
    # What readers assume of a file that names none.
    usual = encode(idl().ColumnOrder(TYPE_ORDER=idl().TypeDefinedOrder()))
    for source in sources:
        metadata = source.footer.metadata
        spans = top_level_spans(metadata)
        for position, number in source.field_ids.items():
            metadata.schema[position].field_id = number
        for name in source.names:
            span = spans[name]
            elements += map(encode, metadata.schema[span])
            first = _leaf_count(metadata, slice(1, span.start))
            count = _leaf_count(metadata, span)
            named = list(map(encode, (metadata.column_orders or [])[first : first + count]))
            orders += named + [usual] * (count - len(named))
    return elements, orders


def _described(chunk: Any) -> Chunk:
    meta = chunk.meta_data
    return Chunk(encode(chunk), meta.total_uncompressed_size, meta.total_compressed_size)


def _move_pages(chunk: Any, by: int) -> None:
    meta = chunk.meta_data
    meta.data_page_offset += by
    if meta.dictionary_page_offset:
        meta.dictionary_page_offset += by
    chunk.file_offset = 0  # deprecated by the format; writers set 0


def _take_bloom_filter(chunk: Any, source: Source, tail: _Tail) -> None:
    meta = chunk.meta_data
    start, length = meta.bloom_filter_offset, meta.bloom_filter_length
    if not start:
        return
    if length is None:
        length = _bloom_filter_bytes(source, start)
    if min(start, length) < 0 or start + length > source.footer.start:
        raise damaged(source.where)
    meta.bloom_filter_offset, meta.bloom_filter_length = tail.span(source.file, start, length), length


def _bloom_filter_bytes(source: Source, start: int) -> int:
    """Header and bits of a filter whose length the writer did not keep."""
    source.file.seek(start)
    head = source.file.read(_BLOOM_HEADER_BYTES)
    try:
        header = walk(head)
        return header.end + integer(head, header, 1, I32)
    except Malformed:
        raise damaged(source.where) from None


def _take_page_index(chunk: Any, shift: int, source: Source, tail: _Tail) -> None:
    """Bring the page index along: the column index as it is, the offset index with moved pages.

    Args:
        chunk: Already moved.
        shift: By how many bytes its pages moved.
    """
    column_at, column_length = chunk.column_index_offset, chunk.column_index_length
    offset_at, offset_length = chunk.offset_index_offset, chunk.offset_index_length
    chunk.column_index_offset = chunk.column_index_length = None
    chunk.offset_index_offset = chunk.offset_index_length = None
    if not offset_at:
        return
    if column_at:
        data = _read_index(source, column_at, column_length)
        chunk.column_index_offset, chunk.column_index_length = tail.bytes(data), column_length
    data = _read_index(source, offset_at, offset_length)
    try:
        index = decode(data, "OffsetIndex")
        for page in index.page_locations:
            page.offset += shift
        data = encode(index)
    except Exception:  # noqa: BLE001 - thriftpy2 raises whatever its tables meet in bytes that are no Thrift
        raise damaged(source.where) from None
    chunk.offset_index_offset, chunk.offset_index_length = tail.bytes(data), len(data)


def _read_index(source: Source, start: int, length: int | None) -> bytes:
    if length is None or min(start, length) < 0 or start + length > source.footer.start:
        raise damaged(source.where)
    source.file.seek(start)
    return source.file.read(length)


def _leaf_count(metadata: Any, span: slice) -> int:
    """Primitive columns among these elements of the schema; chunks and column_orders are listed by them."""
    return sum(not element.num_children for element in metadata.schema[span])


def _element(element: Any) -> Element:
    if not isinstance(element.name, str):
        raise TypeError("an element without a name")
    logical = element.logicalType
    kind = "list" if logical is not None and logical.LIST is not None else ""
    kind = "map" if logical is not None and logical.MAP is not None else kind
    if not kind:
        kind = {1: "map", 2: "map", 3: "list"}.get(element.converted_type, "")
    return Element(element.name, element.num_children or 0, element.repetition_type == 2, kind)
