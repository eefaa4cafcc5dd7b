"""The merged footer of a splice: the base file's with more columns, its own column chunks never decoded.

Field numbers are those of parquet.thrift. Everything that is not changed is carried over as bytes, fields of newer
writers included. See docs/decisions/0004-thrift-codec.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from nbplat.adapters.parquet.compact import (
    I32,
    I64,
    Malformed,
    Struct,
    extended_list_bytes,
    integer,
    integer_bytes,
    list_bytes,
    struct_bytes,
    text,
    walk,
)
from nbplat.adapters.parquet.footer import damaged, encrypted, read_footer_bytes

__all__ = ["AddedColumns", "BaseFooter", "Chunk", "read_base_footer"]

# FileMetaData
_SCHEMA, _ROW_GROUPS, _KEY_VALUES, _COLUMN_ORDERS, _ENCRYPTION = 2, 4, 5, 7, 8
# SchemaElement
_NAME, _NUM_CHILDREN, _FIELD_ID = 4, 5, 9
# RowGroup
_COLUMNS, _TOTAL_BYTE_SIZE, _NUM_ROWS, _TOTAL_COMPRESSED_SIZE = 1, 2, 3, 6
_KEY = 1  # KeyValue

# Written by Arrow and names every column of the *old* file; readers rebuild it from the schema.
_ARROW_SCHEMA_KEY = b"ARROW:schema"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A new column chunk: its encoded ``ColumnChunk``, and its sizes in bytes, which its row group's totals take in."""

    encoded: bytes
    uncompressed_bytes: int
    compressed_bytes: int


@dataclass(frozen=True, slots=True)
class AddedColumns:
    """What a merge adds, encoded.

    Attributes:
        count: New top-level columns.
        elements: ``SchemaElement`` of each, subtrees included, in schema order.
        chunks: Per row group, the chunks in the order of the leaves.
        orders: ``ColumnOrder`` of each leaf; empty when the staged file has none.
    """

    count: int
    elements: Sequence[bytes]
    chunks: Sequence[Sequence[Chunk]]
    orders: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class BaseFooter:
    """A footer that was walked, not decoded.

    Attributes:
        start: Offset of its first byte in the file; everything before it is column data and indexes.
        group_rows: Rows of each row group.
        field_ids: Whether each top-level column has a field id, by name, in file order.
    """

    start: int
    group_rows: list[int]
    field_ids: dict[str, bool]
    _data: bytes
    _root: Struct

    def merged(self, added: AddedColumns) -> bytes:
        """The footer with the columns of `added`, encoded."""
        fields = self._root.fields
        replaced: dict[int, bytes | None] = {
            _SCHEMA: self._merged_schema(fields[_SCHEMA].items, added),
            _ROW_GROUPS: list_bytes(
                [
                    self._merged_group(group, chunks)
                    for group, chunks in zip(fields[_ROW_GROUPS].items, added.chunks, strict=True)
                ]
            ),
        }
        if pairs := self._items(_KEY_VALUES):
            kept = [pair for pair in pairs if _KEY not in pair.fields or self._key(pair) != _ARROW_SCHEMA_KEY]
            replaced[_KEY_VALUES] = list_bytes(self._bytes(kept)) if kept else None
        if (orders := self._items(_COLUMN_ORDERS)) and added.orders:
            replaced[_COLUMN_ORDERS] = list_bytes([*self._bytes(orders), *added.orders])
        return struct_bytes(self._data, self._root, replaced)

    def _merged_schema(self, elements: Sequence[Struct], added: AddedColumns) -> bytes:
        children = integer(self._data, elements[0], _NUM_CHILDREN, I32) + added.count
        root = struct_bytes(self._data, elements[0], {_NUM_CHILDREN: integer_bytes(children)})
        return list_bytes([root, *self._bytes(elements[1:]), *added.elements])

    def _merged_group(self, group: Struct, chunks: Sequence[Chunk]) -> bytes:
        data = self._data
        total = integer(data, group, _TOTAL_BYTE_SIZE, I64) + sum(chunk.uncompressed_bytes for chunk in chunks)
        replaced: dict[int, bytes | None] = {
            _COLUMNS: extended_list_bytes(data, group.fields[_COLUMNS], [chunk.encoded for chunk in chunks]),
            _TOTAL_BYTE_SIZE: integer_bytes(total),
        }
        if _TOTAL_COMPRESSED_SIZE in group.fields:
            size = integer(data, group, _TOTAL_COMPRESSED_SIZE, I64)
            if size:  # 0 is how some writers say that they did not count
                replaced[_TOTAL_COMPRESSED_SIZE] = integer_bytes(size + sum(chunk.compressed_bytes for chunk in chunks))
        return struct_bytes(data, group, replaced)

    def _items(self, number: int) -> tuple[Struct, ...]:
        field = self._root.fields.get(number)
        return field.items if field else ()

    def _key(self, pair: Struct) -> bytes:
        return text(self._data, pair, _KEY)

    def _bytes(self, structs: Sequence[Struct]) -> list[bytes]:
        return [self._data[struct.start : struct.end] for struct in structs]


def read_base_footer(file: BinaryIO, where: str) -> BaseFooter:
    """Walk the footer of a splice's base file; all that ``merged`` relies on is checked here.

    Raises:
        DataError: not Parquet, cut off, followed by bytes that are not its own, or encrypted; `where` names the file.
    """
    data, start, _ = read_footer_bytes(file, where)
    try:
        root = walk(data, (_SCHEMA, _ROW_GROUPS, _KEY_VALUES, _COLUMN_ORDERS))
        # First: the signature of an encrypted file follows its plain-text footer and is no part of the struct.
        if _ENCRYPTION in root.fields:
            raise encrypted(where)
        if root.end != len(data) or not {_SCHEMA, _ROW_GROUPS} <= root.fields.keys():
            raise Malformed("not one FileMetaData")
        groups = root.fields[_ROW_GROUPS].items
        for group in groups:
            _check_group(data, group)
        for pair in root.fields[_KEY_VALUES].items if _KEY_VALUES in root.fields else ():
            if _KEY in pair.fields:
                text(data, pair, _KEY)
        rows = [integer(data, group, _NUM_ROWS, I64) for group in groups]
        return BaseFooter(start, rows, _top_level(data, root.fields[_SCHEMA].items), data, root)
    except Malformed:
        raise damaged(where) from None


def _check_group(data: bytes, group: Struct) -> None:
    columns = group.fields.get(_COLUMNS)
    if columns is None:
        raise Malformed("a row group without columns")
    extended_list_bytes(data, columns, ())
    integer(data, group, _TOTAL_BYTE_SIZE, I64)
    if _TOTAL_COMPRESSED_SIZE in group.fields:
        integer(data, group, _TOTAL_COMPRESSED_SIZE, I64)


def _top_level(data: bytes, elements: Sequence[Struct]) -> dict[str, bool]:
    """Whether each top-level column has a field id; the flattened tree must add up."""
    if not elements:
        raise Malformed("no schema")
    columns: dict[str, bool] = {}
    position = 1
    expected = integer(data, elements[0], _NUM_CHILDREN, I32)
    for _ in range(expected):
        end, open_children = position, 1
        while open_children:
            if end == len(elements):
                raise Malformed("a schema that is cut off")
            children = integer(data, elements[end], _NUM_CHILDREN, I32) if _NUM_CHILDREN in elements[end].fields else 0
            if children < 0:
                raise Malformed("fewer than no children")
            open_children += children - 1
            end += 1
        field_id = elements[position].fields.get(_FIELD_ID)
        # Names are compared only, so one that is no UTF-8 is another name, not damage.
        name = text(data, elements[position], _NAME).decode("utf-8", "surrogateescape")
        columns[name] = columns.get(name, True) and field_id is not None and field_id.kind == I32
        position = end
    if position != len(elements) or expected < 0:
        raise Malformed("a schema that does not add up")
    return columns
