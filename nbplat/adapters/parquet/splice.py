"""Append columns to a Parquet file at the price of copying it.

The old file's bytes up to its footer are copied as they are, the new columns' chunks are appended,
and the footer gains them without its own chunks being decoded. Offsets, page indexes and bloom
filters of the old columns stay valid because their bytes do not move. Measured at the speed of
``cp`` with a thirtieth of the CPU of decoding and encoding
(docs/decisions/0005-column-splice.md).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nbplat.adapters.parquet.footer import Footer, damaged, decode, encode, read_footer, top_level_spans
from nbplat.adapters.parquet.merge import AddedColumns, BaseFooter, Chunk, read_base_footer
from nbplat.errors import DataError

__all__ = ["SpliceReport", "chunk_digests", "row_group_rows", "splice"]

_COPY_BYTES = 8 << 20

_REPEATED, _LIST = 2, 3  # FieldRepetitionType, ConvertedType


@dataclass(frozen=True, slots=True)
class SpliceReport:
    """What one splice did.

    Attributes:
        copied_bytes: Bytes taken over unchanged from the base file.
        added_bytes: Bytes of the new columns' chunks and indexes.
        file_bytes: Size of the new file.
    """

    copied_bytes: int
    added_bytes: int
    file_bytes: int


def splice(base: Path, staged: Path, out: Path, field_ids: Mapping[str, int]) -> SpliceReport:
    """Write `out` as `base` plus the columns of `staged` named by `field_ids`.

    Args:
        base: The file to copy.
        staged: A file with the same rows in the same order, cut into the same row groups; its
            other columns are left out.
        out: Must not exist. It is synced to disk before this returns.
        field_ids: Iceberg field id of each new column, and of every field nested in one by its dotted Iceberg
            path: ``emb``, ``emb.element``, ``s.a``. A nested field that is left out has no id in the file.

    Raises:
        DataError: row groups differ, a column is missing in `staged` or exists in `base`, the base
            has no field ids, or one of the files is damaged or encrypted. `out` is then gone.
    """
    paths, field_ids = field_ids, {path: field_id for path, field_id in field_ids.items() if "." not in path}
    with base.open("rb") as base_file, staged.open("rb") as staged_file:
        old, new = read_base_footer(base_file, str(base)), read_footer(staged_file, str(staged))
        _check(old, new.metadata, field_ids, base, staged)
        chunks = _staged_chunks(new, field_ids, str(staged))
        out_file = out.open("xb")
        try:
            with out_file:
                _copy(base_file, 0, old.start, out_file)
                number_nested(new.metadata.schema, paths)
                added = _append(new, chunks, staged_file, out_file, field_ids)
                end = out_file.tell()
                footer = old.merged(added)
                out_file.write(footer + struct.pack("<I", len(footer)) + b"PAR1")
                out_file.flush()
                os.fsync(out_file.fileno())
                size = out_file.tell()
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    return SpliceReport(old.start, end - old.start, size)


def number_nested(schema: list[Any], field_ids: Mapping[str, int]) -> None:
    """Set the field ids of nested elements (``SchemaElement`` of parquet.thrift, flattened) by their Iceberg path.

    The repeated group between a list and its element is no field of Iceberg's and has no id.
    """
    open_groups: list[tuple[str, int, bool]] = []
    for element in schema[1:]:
        while open_groups and open_groups[-1][1] == 0:
            open_groups.pop()
        path, in_list = element.name, False
        if open_groups:
            parent, left, in_list = open_groups[-1]
            open_groups[-1] = (parent, left - 1, in_list)
            repeats = in_list and element.repetition_type == _REPEATED
            path = parent if repeats else f"{parent}.{element.name}"
            if not repeats:
                element.field_id = field_ids.get(path)
        if element.num_children:
            open_groups.append((path, element.num_children, element.converted_type == _LIST))


def row_group_rows(path: Path) -> list[int]:
    """Rows of each row group, in order; read by Arrow, at a tenth of what decoding the footer for a splice costs.

    Raises:
        DataError: damaged or encrypted.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise damaged(str(path)) from exc
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def chunk_digests(path: Path) -> dict[str, str]:
    """BLAKE2b-128 (hex) of each column's chunk bytes over all row groups; keys are dotted leaf paths.

    Equal digests mean equal bytes: pages, encodings and all.
    """
    hashes: dict[str, Any] = {}
    with path.open("rb") as file:
        for group in read_footer(file, str(path)).metadata.row_groups:
            for chunk in group.columns:
                name = ".".join(chunk.meta_data.path_in_schema)
                start, length = _chunk_span(chunk.meta_data)
                file.seek(start)
                hashes.setdefault(name, hashlib.blake2b(digest_size=16)).update(file.read(length))
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _check(old: BaseFooter, new: Any, field_ids: Mapping[str, int], base: Path, staged: Path) -> None:
    new_rows = [group.num_rows for group in new.row_groups]
    if old.group_rows != new_rows:
        raise DataError(
            "splice.row_groups",
            f"row groups differ: {old.group_rows} in the base file, {new_rows} in the staged file",
            fix="stage this file again",
            where=str(base),
        )
    try:
        new_spans = top_level_spans(new)
    except IndexError:
        raise damaged(str(staged)) from None
    for name in field_ids:
        if name in old.field_ids:
            raise DataError(
                "splice.column_exists",
                f"the base file has a column {name!r}",
                fix="choose another name",
                where=str(base),
            )
        if name not in new_spans:
            raise DataError(
                "splice.column_missing",
                f"the staged file has no column {name!r}",
                fix="stage this file again",
                where=str(base),
            )
    if not all(old.field_ids.values()):
        raise DataError(
            "splice.field_ids",
            "the base file carries no Iceberg field ids, so readers match its columns by name only",
            fix="rewrite the file once (Spark: rewrite_data_files), then plan again",
            where=str(base),
        )


def _copy(source: BinaryIO, start: int, length: int, target: BinaryIO) -> None:
    """Append `length` bytes of `source`, inside the kernel where it can (shared blocks on reflink file systems)."""
    target.flush()
    at, done = target.tell(), 0
    if hasattr(os, "copy_file_range"):
        try:
            while done < length:
                moved = os.copy_file_range(source.fileno(), target.fileno(), length - done, start + done, at + done)
                if moved == 0:
                    break
                done += moved
        except OSError as exc:
            if exc.errno == 28:  # ENOSPC: the stream copy would meet the same
                raise
    source.seek(start + done)
    target.seek(at + done)
    while done < length:
        piece = source.read(min(_COPY_BYTES, length - done))
        if not piece:
            raise damaged(str(source.name))
        target.write(piece)
        done += len(piece)


def _staged_chunks(new: Footer, field_ids: Mapping[str, int], where: str) -> list[list[Any]]:
    """Per row group, the ``ColumnChunk`` of every leaf that is taken, in the order of `field_ids`."""
    chunks = []
    try:
        for group in new.metadata.row_groups:
            taken: dict[str, list[Any]] = {name: [] for name in field_ids}
            for chunk in group.columns:
                meta = chunk.meta_data
                if meta.path_in_schema[0] in taken:
                    taken[meta.path_in_schema[0]].append(chunk)
                    start, length = _chunk_span(meta)
                    if min(start, length, meta.total_uncompressed_size) < 0 or start + length > new.start:
                        raise damaged(where)
            spans = top_level_spans(new.metadata)
            if any(len(taken[name]) != _leaf_count(new.metadata, spans[name]) for name in field_ids):
                raise damaged(where)
            chunks.append([chunk for name in field_ids for chunk in taken[name]])
    except (AttributeError, IndexError, TypeError):  # thriftpy2 gives None for what is missing
        raise damaged(where) from None
    return chunks


def _append(
    new: Footer, chunks: list[list[Any]], staged: BinaryIO, out: BinaryIO, field_ids: Mapping[str, int]
) -> AddedColumns:
    """Write chunks and page indexes to `out`, and describe them where they now are."""
    moved: list[tuple[Any, int]] = []
    for chunk in (chunk for group in chunks for chunk in group):
        start, length = _chunk_span(chunk.meta_data)
        shift = out.tell() - start
        _copy(staged, start, length, out)
        _shift(chunk, shift)
        moved.append((chunk, shift))
    for chunk, shift in moved:
        _append_index(chunk, shift, new.start, staged, out)
    metadata = new.metadata
    spans = top_level_spans(metadata)
    elements: list[bytes] = []
    orders: list[bytes] = []
    for name, field_id in field_ids.items():
        span = spans[name]
        metadata.schema[span.start].field_id = field_id
        elements += map(encode, metadata.schema[span])
        first = _leaf_count(metadata, slice(1, span.start))
        leaves = slice(first, first + _leaf_count(metadata, span))
        orders += map(encode, (metadata.column_orders or [])[leaves])
    described = [
        [
            Chunk(encode(chunk), chunk.meta_data.total_uncompressed_size, chunk.meta_data.total_compressed_size)
            for chunk in group
        ]
        for group in chunks
    ]
    return AddedColumns(len(field_ids), elements, described, orders)


def _chunk_span(meta: Any) -> tuple[int, int]:
    """First byte and length of a column chunk; the dictionary page, when there is one, comes first."""
    start = meta.data_page_offset
    if meta.dictionary_page_offset:
        start = min(start, meta.dictionary_page_offset)
    return start, meta.total_compressed_size


def _shift(chunk: Any, by: int) -> None:
    meta = chunk.meta_data
    meta.data_page_offset += by
    if meta.dictionary_page_offset:
        meta.dictionary_page_offset += by
    meta.bloom_filter_offset = meta.bloom_filter_length = None
    chunk.file_offset = 0  # deprecated by the format; writers set 0


def _append_index(chunk: Any, shift: int, end: int, staged: BinaryIO, out: BinaryIO) -> None:
    """Bring the page index along: the column index as it is, the offset index with moved pages.

    Args:
        chunk: Already shifted.
        shift: By how many bytes its pages moved.
        end: Where the staged file's footer begins; no index reaches beyond it.
        staged: The staged file.
        out: The new file, at its end.
    """
    column_at, column_length = chunk.column_index_offset, chunk.column_index_length
    offset_at, offset_length = chunk.offset_index_offset, chunk.offset_index_length
    chunk.column_index_offset = chunk.column_index_length = None
    chunk.offset_index_offset = chunk.offset_index_length = None
    if not offset_at:
        return
    if column_at:
        data = _read_index(staged, column_at, column_length, end)
        chunk.column_index_offset, chunk.column_index_length = out.tell(), column_length
        out.write(data)
    data = _read_index(staged, offset_at, offset_length, end)
    try:
        index = decode(data, "OffsetIndex")
        for page in index.page_locations:
            page.offset += shift
        data = encode(index)
    except Exception:  # noqa: BLE001 - thriftpy2 raises whatever its tables meet in bytes that are no Thrift
        raise damaged(str(staged.name)) from None
    chunk.offset_index_offset, chunk.offset_index_length = out.tell(), len(data)
    out.write(data)


def _read_index(staged: BinaryIO, start: int, length: int | None, end: int) -> bytes:
    if length is None or min(start, length) < 0 or start + length > end:
        raise damaged(str(staged.name))
    staged.seek(start)
    return staged.read(length)


def _leaf_count(metadata: Any, span: slice) -> int:
    """Primitive columns among these elements of the schema; chunks and column_orders are listed by them."""
    return sum(not element.num_children for element in metadata.schema[span])
