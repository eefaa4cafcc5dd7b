"""Append columns to a Parquet file at the price of copying it.

The old file's bytes up to its footer are copied as they are, the new columns' chunks are appended,
and the two footers are merged. Offsets, page indexes and bloom filters of the old columns stay
valid because their bytes do not move. Measured at the speed of ``cp`` with a thirtieth of the CPU
of decoding and encoding (docs/decisions/0005-column-splice.md).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nbplat.adapters.parquet.footer import Footer, decode, encode, read_footer, top_level_spans
from nbplat.errors import DataError

__all__ = ["SpliceReport", "chunk_digests", "row_group_rows", "splice"]

_COPY_BYTES = 8 << 20
# Written by Arrow and names every column of the *old* file; readers rebuild it from the schema.
_ARROW_SCHEMA_KEY = "ARROW:schema"


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
        field_ids: Iceberg field id of each new top-level column.

    Raises:
        DataError: row groups differ, a column is missing in `staged` or exists in `base`, the base
            has no field ids, or one of the files is damaged or encrypted. `out` is then gone.
    """
    with base.open("rb") as base_file, staged.open("rb") as staged_file:
        old, new = read_footer(base_file, str(base)), read_footer(staged_file, str(staged))
        _check(old.metadata, new.metadata, field_ids, base)
        out_file = out.open("xb")
        try:
            with out_file:
                _copy(base_file, out_file, old.start)
                _append(old.metadata, new, staged_file, out_file, field_ids)
                end = out_file.tell()
                footer = encode(old.metadata)
                out_file.write(footer + struct.pack("<I", len(footer)) + b"PAR1")
                out_file.flush()
                os.fsync(out_file.fileno())
                size = out_file.tell()
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    return SpliceReport(old.start, end - old.start, size)


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
        raise DataError(
            "parquet.damaged",
            "the file is not a whole Parquet file",
            fix="restore it or plan without it",
            where=str(path),
        ) from exc
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


def _check(old: Any, new: Any, field_ids: Mapping[str, int], base: Path) -> None:
    old_rows = [group.num_rows for group in old.row_groups]
    new_rows = [group.num_rows for group in new.row_groups]
    if old_rows != new_rows:
        raise DataError(
            "splice.row_groups",
            f"row groups differ: {old_rows} in the base file, {new_rows} in the staged file",
            fix="stage this file again",
            where=str(base),
        )
    old_spans, new_spans = top_level_spans(old), top_level_spans(new)
    for name in field_ids:
        if name in old_spans:
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
    if any(old.schema[span.start].field_id is None for span in old_spans.values()):
        raise DataError(
            "splice.field_ids",
            "the base file carries no Iceberg field ids, so readers match its columns by name only",
            fix="rewrite the file once (Spark: rewrite_data_files), then plan again",
            where=str(base),
        )


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    """Copy the first `length` bytes, inside the kernel where it can (shared blocks on reflink file systems)."""
    done = 0
    if hasattr(os, "copy_file_range"):
        try:
            while done < length:
                moved = os.copy_file_range(source.fileno(), target.fileno(), length - done, done, done)
                if moved == 0:
                    break
                done += moved
        except OSError as exc:
            if exc.errno == 28:  # ENOSPC: the stream copy would meet the same
                raise
    source.seek(done)
    target.seek(done)
    while done < length:
        piece = source.read(min(_COPY_BYTES, length - done))
        target.write(piece)
        done += len(piece)


def _append(old: Any, new: Footer, staged: BinaryIO, out: BinaryIO, field_ids: Mapping[str, int]) -> None:
    moved: list[tuple[Any, int]] = []
    for old_group, new_group in zip(old.row_groups, new.metadata.row_groups, strict=True):
        for chunk in new_group.columns:
            if chunk.meta_data.path_in_schema[0] not in field_ids:
                continue
            start, length = _chunk_span(chunk.meta_data)
            shift = out.tell() - start
            staged.seek(start)
            out.write(staged.read(length))
            _shift(chunk, shift)
            old_group.columns.append(chunk)
            old_group.total_byte_size += chunk.meta_data.total_uncompressed_size
            if old_group.total_compressed_size:
                old_group.total_compressed_size += length
            moved.append((chunk, shift))
    for chunk, shift in moved:
        _append_index(chunk, shift, staged, out)
    spans = top_level_spans(new.metadata)
    for name, field_id in field_ids.items():
        elements = new.metadata.schema[spans[name]]
        elements[0].field_id = field_id
        old.schema.extend(elements)
        old.schema[0].num_children += 1
        if old.column_orders and new.metadata.column_orders:
            old.column_orders.append(new.metadata.column_orders[_leaf_index(new.metadata, name)])
    if old.key_value_metadata:
        old.key_value_metadata = [pair for pair in old.key_value_metadata if pair.key != _ARROW_SCHEMA_KEY] or None


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


def _append_index(chunk: Any, shift: int, staged: BinaryIO, out: BinaryIO) -> None:
    """Bring the page index along: the column index as it is, the offset index with moved pages."""
    column_at, column_length = chunk.column_index_offset, chunk.column_index_length
    offset_at, offset_length = chunk.offset_index_offset, chunk.offset_index_length
    chunk.column_index_offset = chunk.column_index_length = None
    chunk.offset_index_offset = chunk.offset_index_length = None
    if not offset_at:
        return
    if column_at:
        staged.seek(column_at)
        chunk.column_index_offset, chunk.column_index_length = out.tell(), column_length
        out.write(staged.read(column_length))
    staged.seek(offset_at)
    index = decode(staged.read(offset_length), "OffsetIndex")
    for page in index.page_locations:
        page.offset += shift
    data = encode(index)
    chunk.offset_index_offset, chunk.offset_index_length = out.tell(), len(data)
    out.write(data)


def _leaf_index(metadata: Any, name: str) -> int:
    """Position of a primitive top-level column among the leaves (what column_orders is indexed by)."""
    leaves = [element for element in metadata.schema[1:] if not element.num_children]
    return leaves.index(metadata.schema[top_level_spans(metadata)[name].start])
