"""The merged footer of a splice: the base file's with more columns and less, its own column chunks never decoded.

Field numbers are those of parquet.thrift. Everything that is not changed is carried over as bytes, fields of newer
writers included. See docs/decisions/0004-thrift-codec.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from nbplat.adapters.parquet.compact import (
    I32,
    I64,
    Malformed,
    Struct,
    extended_list_bytes,
    inner,
    integer,
    integer_bytes,
    list_bytes,
    opened,
    struct_bytes,
    text,
    walk,
)
from nbplat.adapters.parquet.extents import chunk_extents, chunk_sizes
from nbplat.adapters.parquet.footer import damaged, encrypted, read_footer_bytes
from nbplat.adapters.parquet.paths import Element, field_paths

__all__ = ["AddedColumns", "BaseFooter", "Chunk", "TopColumn", "read_base_footer"]

# FileMetaData
_SCHEMA, _ROW_GROUPS, _KEY_VALUES, _COLUMN_ORDERS, _ENCRYPTION = 2, 4, 5, 7, 8
# SchemaElement
_REPETITION, _NAME, _NUM_CHILDREN, _CONVERTED_TYPE, _FIELD_ID, _LOGICAL_TYPE = 3, 4, 5, 6, 9, 10
_REPEATED = 2
_CONVERTED = {1: "map", 2: "map", 3: "list"}
_LOGICAL = {2: "map", 3: "list"}
# RowGroup
_COLUMNS, _TOTAL_BYTE_SIZE, _NUM_ROWS, _SORTING, _FILE_OFFSET, _TOTAL_COMPRESSED_SIZE = 1, 2, 3, 4, 5, 6
_COLUMN_INDEX = 1  # SortingColumn
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
        orders: ``ColumnOrder`` of each leaf.
    """

    count: int
    elements: Sequence[bytes]
    chunks: Sequence[Sequence[Chunk]]
    orders: Sequence[bytes]


class TopColumn(NamedTuple):
    """A top-level column of a base file.

    Attributes:
        field_id: None when the file names none.
        elements: Where its subtree lies in the flattened schema, whose element 0 is the root.
        leaves: Where its chunks lie in a row group.
    """

    name: str
    field_id: int | None
    elements: range
    leaves: range


@dataclass(frozen=True, slots=True)
class BaseFooter:
    """A footer that was walked, not decoded.

    Attributes:
        start: Offset of its first byte in the file; everything before it is column data and indexes.
        group_rows: Rows of each row group.
        columns: The top-level columns in file order; two may have one name.
    """

    start: int
    group_rows: list[int]
    columns: tuple[TopColumn, ...]
    _data: bytes
    _root: Struct

    def paths(self) -> dict[tuple[str, ...], int]:
        """Path of every field -> its element in the flattened schema, for files that are to get field ids.

        Raises:
            Malformed: an element without what the rules need.
        """
        elements = [self._element(element) for element in self._items(_SCHEMA)[1:]]
        try:
            return {path: position + 1 for path, position in field_paths(elements).items()}
        except RecursionError:
            raise Malformed("nested too deep") from None

    def extent(self, dropped: Collection[TopColumn]) -> tuple[int, int]:
        """How many bytes of the file a copy without these columns needs, and how many of those nothing refers to.

        Bytes that nothing referred to before are not counted.

        Raises:
            Malformed: chunks that do not fit the schema or reach into the footer.
        """
        if not dropped:
            return self.start, 0
        out = {leaf for column in dropped for leaf in column.leaves}
        kept_end, dead = 4, []
        for group in self._items(_ROW_GROUPS):
            for leaf, chunk in enumerate(self._chunks(group)):
                extents = chunk_extents(self._data, chunk, self.start)
                if leaf in out:
                    dead += extents
                else:
                    kept_end = max([kept_end, *(end for _, end in extents)])
        return kept_end, sum(min(end, kept_end) - min(start, kept_end) for start, end in dead)

    def leaves(self) -> dict[tuple[str, int], list[Struct]]:
        """Each leaf (name of its top-level column, number in it) -> its chunk per row group.

        Raises:
            Malformed: chunks that do not fit the schema.
        """
        keys = [(column.name, number) for column in self.columns for number in range(len(column.leaves))]
        found: dict[tuple[str, int], list[Struct]] = {key: [] for key in keys}
        for group in self._items(_ROW_GROUPS):
            for key, chunk in zip(keys, self._chunks(group), strict=True):
                found[key].append(chunk)
        return found

    def encoded(self, chunk: Struct) -> bytes:
        """A chunk of `leaves` as the footer has it: where it lies, and all that is said of it."""
        return self._data[chunk.start : chunk.end]

    def pages(self, chunk: Struct) -> tuple[int, int]:
        """First byte and end of the pages of a chunk of `leaves`.

        Raises:
            Malformed: they reach into the footer.
        """
        return chunk_extents(self._data, chunk, self.start)[0]

    def merged(
        self, added: AddedColumns, dropped: Collection[TopColumn] = (), field_ids: Mapping[int, int] | None = None
    ) -> bytes:
        """The footer with the columns of `added` and without those `dropped`, encoded.

        Args:
            field_ids: Element of the flattened schema, none of which has one -> the field id it gets.
        """
        fields = self._root.fields
        leaves = {leaf for column in dropped for leaf in column.leaves}
        replaced: dict[int, bytes | None] = {
            _SCHEMA: self._merged_schema(fields[_SCHEMA].items, added, dropped, field_ids or {}),
            _ROW_GROUPS: list_bytes(
                [
                    self._merged_group(group, chunks, leaves)
                    for group, chunks in zip(fields[_ROW_GROUPS].items, added.chunks, strict=True)
                ]
            ),
        }
        if pairs := self._items(_KEY_VALUES):
            kept = [pair for pair in pairs if _KEY not in pair.fields or self._key(pair) != _ARROW_SCHEMA_KEY]
            replaced[_KEY_VALUES] = list_bytes(self._bytes(kept)) if kept else None
        if orders := self._items(_COLUMN_ORDERS):
            kept = [order for leaf, order in enumerate(orders) if leaf not in leaves]
            replaced[_COLUMN_ORDERS] = list_bytes([*self._bytes(kept), *added.orders])
        return struct_bytes(self._data, self._root, replaced)

    def _merged_schema(
        self,
        elements: Sequence[Struct],
        added: AddedColumns,
        dropped: Collection[TopColumn],
        field_ids: Mapping[int, int],
    ) -> bytes:
        data = self._data
        children = integer(data, elements[0], _NUM_CHILDREN, I32) + added.count - len(dropped)
        root = struct_bytes(data, elements[0], {_NUM_CHILDREN: integer_bytes(children)})
        out = {position for column in dropped for position in column.elements}
        kept = [
            struct_bytes(data, element, {}, {_FIELD_ID: (I32, integer_bytes(field_ids[position]))})
            if position in field_ids
            else data[element.start : element.end]
            for position, element in enumerate(elements)
            if position and position not in out
        ]
        return list_bytes([root, *kept, *added.elements])

    def _merged_group(self, group: Struct, chunks: Sequence[Chunk], dropped: Collection[int]) -> bytes:
        data = self._data
        sizes = [sum(chunk.uncompressed_bytes for chunk in chunks), sum(chunk.compressed_bytes for chunk in chunks)]
        replaced: dict[int, bytes | None] = {}
        encoded = [chunk.encoded for chunk in chunks]
        if dropped:
            old = self._chunks(group)
            kept = [chunk for leaf, chunk in enumerate(old) if leaf not in dropped]
            for leaf in dropped:
                for number, size in enumerate(chunk_sizes(data, old[leaf])):
                    sizes[number] -= size
            replaced[_COLUMNS] = list_bytes([*self._bytes(kept), *encoded])
            replaced |= self._moved_leaves(group, len(old), dropped)
        else:
            replaced[_COLUMNS] = extended_list_bytes(data, group.fields[_COLUMNS], encoded)
        total = integer(data, group, _TOTAL_BYTE_SIZE, I64) + sizes[0]
        replaced[_TOTAL_BYTE_SIZE] = integer_bytes(total)
        if _TOTAL_COMPRESSED_SIZE in group.fields:
            size = integer(data, group, _TOTAL_COMPRESSED_SIZE, I64)
            if size:  # 0 is how some writers say that they did not count
                replaced[_TOTAL_COMPRESSED_SIZE] = integer_bytes(size + sizes[1])
        return struct_bytes(data, group, replaced)

    def _moved_leaves(self, group: Struct, count: int, dropped: Collection[int]) -> dict[int, bytes | None]:
        """What a row group says of its leaves by number: rows stay sorted by the columns before the first dropped."""
        changed: dict[int, bytes | None] = {}
        if _FILE_OFFSET in group.fields and 0 in dropped:
            changed[_FILE_OFFSET] = None  # of a first page that is gone; the field is optional
        if _SORTING not in group.fields:
            return changed
        moved = {leaf: new for new, leaf in enumerate(leaf for leaf in range(count) if leaf not in dropped)}
        sorting: list[bytes] = []
        for column in opened(self._data, group, _SORTING):
            leaf = integer(self._data, column, _COLUMN_INDEX, I32)
            if leaf not in moved:
                break
            sorting.append(struct_bytes(self._data, column, {_COLUMN_INDEX: integer_bytes(moved[leaf])}))
        return changed | {_SORTING: list_bytes(sorting) if sorting else None}

    def _chunks(self, group: Struct) -> tuple[Struct, ...]:
        chunks = opened(self._data, group, _COLUMNS)
        if len(chunks) != (self.columns[-1].leaves.stop if self.columns else 0):
            raise Malformed("a row group whose chunks do not fit the schema")
        return chunks

    def _element(self, element: Struct) -> Element:
        data, fields = self._data, element.fields
        name = text(data, element, _NAME).decode("utf-8", "surrogateescape")
        repeated = _REPETITION in fields and integer(data, element, _REPETITION, I32) == _REPEATED
        kind = ""
        if _LOGICAL_TYPE in fields:
            kind = next(
                (_LOGICAL[number] for number in inner(data, element, _LOGICAL_TYPE).fields if number in _LOGICAL), ""
            )
        if not kind and _CONVERTED_TYPE in fields:
            kind = _CONVERTED.get(integer(data, element, _CONVERTED_TYPE, I32), "")
        return Element(name, _children(data, element), repeated, kind)

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


def _top_level(data: bytes, elements: Sequence[Struct]) -> tuple[TopColumn, ...]:
    """The columns below the root; the flattened tree must add up."""
    if not elements:
        raise Malformed("no schema")
    columns: list[TopColumn] = []
    position, leaf = 1, 0
    expected = integer(data, elements[0], _NUM_CHILDREN, I32)
    for _ in range(expected):
        end, open_children, leaves = position, 1, 0
        while open_children:
            if end == len(elements):
                raise Malformed("a schema that is cut off")
            children = _children(data, elements[end])
            leaves += not children
            open_children += children - 1
            end += 1
        field_id = elements[position].fields.get(_FIELD_ID)
        # Names are compared only, so one that is no UTF-8 is another name, not damage.
        name = text(data, elements[position], _NAME).decode("utf-8", "surrogateescape")
        number = integer(data, elements[position], _FIELD_ID, I32) if field_id and field_id.kind == I32 else None
        columns.append(TopColumn(name, number, range(position, end), range(leaf, leaf + leaves)))
        position, leaf = end, leaf + leaves
    if position != len(elements) or expected < 0:
        raise Malformed("a schema that does not add up")
    return tuple(columns)


def _children(data: bytes, element: Struct) -> int:
    children = integer(data, element, _NUM_CHILDREN, I32) if _NUM_CHILDREN in element.fields else 0
    if children < 0:
        raise Malformed("fewer than no children")
    return children
