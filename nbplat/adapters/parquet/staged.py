"""Staged files: written beside their base file's row groups, read back by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from nbplat.adapters.parquet.footer import damaged
from nbplat.remote.numbering import numbered
from nbplat.terms import Files, StagedFile

__all__ = ["BASE_FILE_COLUMN", "POSITION_COLUMN", "StagedParquet", "row_group_rows"]

BASE_FILE_COLUMN = "nb_file"
POSITION_COLUMN = "nb_pos"


class StagedParquet:
    """Writes and reads staged files under one folder.

    Args:
        files: Where the folder lies.
        folder: Holds one folder per run; a location.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._files, self._folder = files, folder

    def write(
        self, run_folder: str, unit_id: str, fence: int, base_path: str, columns: pa.Table, digest: str
    ) -> StagedFile:
        """Write one unit: temporary name, sync, rename; the name holds unit and fence.

        Raises:
            SetupError: when the disk is full.
        """
        with self._files.open_input(base_path) as base:
            groups = row_group_rows(base, base_path)
        target = f"{self._folder}/{run_folder.replace('@', '-')}/{unit_id}-{fence}.parquet"
        with self._files.open_output(target) as file:
            _write(_with_position(columns, base_path), file, groups)
            size = file.tell()
        return StagedFile(base_path, target, columns.num_rows, size, dense=True, key_digest=digest)

    def sample_bytes(self, columns: pa.Table) -> int:
        """Size `columns` would have as a staged file."""
        sink = pa.BufferOutputStream()
        _write(_with_position(columns, "x" * 120), sink, [columns.num_rows])
        return int(sink.getvalue().size)

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file, in row order."""
        with self._files.open_input(staged.path) as file:
            return pq.ParquetFile(file).read(columns=list(columns)).select(list(columns))

    def free_bytes(self) -> int | None:
        """Room on the staging folder's disk."""
        return self._files.free_bytes(self._folder)


def row_group_rows(file: BinaryIO, where: str) -> list[int]:
    """Rows of each row group, in order; read by Arrow, at a tenth of what decoding the footer for a splice costs.

    Raises:
        DataError: damaged or encrypted; `where` names the file.
    """
    try:
        metadata = pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise damaged(where) from exc
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def _with_position(columns: pa.Table, base_path: str) -> pa.Table:
    """Add ``nb_file`` and ``nb_pos`` at the end; every field and nested field has a field id, from 1."""
    rows = columns.num_rows
    names = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([base_path], pa.string()))
    position = pa.array(range(rows), pa.int64())
    table = columns.append_column(BASE_FILE_COLUMN, names.cast(pa.string())).append_column(POSITION_COLUMN, position)
    return table.cast(numbered(table.schema))


def _write(table: pa.Table, sink: object, groups: Sequence[int]) -> None:
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_index=True) as writer:
        offset = 0
        for rows in groups:
            writer.write_table(table.slice(offset, rows), row_group_size=max(rows, 1))
            offset += rows
