"""Staged files: written beside their base file's row groups, read back by column."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nbplat.adapters.parquet.splice import chunk_digests, row_group_rows, splice
from nbplat.errors import SetupError
from nbplat.remote.numbering import numbered
from nbplat.terms import StagedFile, file_location, local_path

__all__ = ["BASE_FILE_COLUMN", "POSITION_COLUMN", "LocalSplicer", "StagedParquet"]

BASE_FILE_COLUMN = "nb_file"
POSITION_COLUMN = "nb_pos"


def free_bytes(path: Path) -> int:
    """Bytes that may still be written on the disk of `path`, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


class StagedParquet:
    """Writes and reads staged files under one folder.

    Args:
        folder: Holds one folder per run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(
        self, run_folder: str, unit_id: str, fence: int, base_path: str, columns: pa.Table, digest: str
    ) -> StagedFile:
        """Write one unit: temporary name, sync, rename; the name holds unit and fence.

        Raises:
            SetupError: when the disk is full.
        """
        base = local_path(base_path)
        target = self._folder / run_folder.replace("@", "-") / f"{unit_id}-{fence}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                _write(_with_position(columns, base_path), file, row_group_rows(base))
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            partial.replace(target)
        except OSError as exc:
            partial.unlink(missing_ok=True)
            if exc.errno == 28:
                raise SetupError(
                    "disk.full",
                    "the disk is full",
                    fix="make room, then run the same cell again",
                    where=str(target.parent),
                ) from None
            raise
        return StagedFile(base_path, file_location(target), columns.num_rows, size, dense=True, key_digest=digest)

    def sample_bytes(self, columns: pa.Table) -> int:
        """Size `columns` would have as a staged file."""
        sink = pa.BufferOutputStream()
        _write(_with_position(columns, "x" * 120), sink, [columns.num_rows])
        return int(sink.getvalue().size)

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file, in row order."""
        return pq.read_table(local_path(staged.path), columns=list(columns), partitioning=None).select(list(columns))

    def free_bytes(self) -> int:
        """Room on the staging folder's disk."""
        return free_bytes(self._folder)


class LocalSplicer:
    """Splices files on a local disk."""

    def free_bytes(self, base_path: str) -> int:
        """Room on the base file's disk."""
        return free_bytes(local_path(base_path))

    def target_path(self, base_path: str, run_id: str, fence: int) -> str:
        """Beside the base file; the name holds the run and the try."""
        base = local_path(base_path)
        stem = base.stem.split("--nb-")[0]
        return file_location(base.with_name(f"{stem}--nb-{run_id.replace('@', '-')}-{fence}.parquet"))

    def splice(self, base_path: str, staged: StagedFile, out_path: str, field_ids: Mapping[str, int]) -> dict[str, int]:
        """Splice one file; a leftover of a killed try under the same name is replaced.

        Raises:
            SetupError: when the disk is full; nothing is left behind.
        """
        out = local_path(out_path)
        out.unlink(missing_ok=True)
        try:
            report = splice(local_path(base_path), local_path(staged.path), out, field_ids)
        except OSError as exc:
            if exc.errno == 28:
                raise SetupError(
                    "disk.full", "the disk is full", fix="make room, then promote again", where=str(out.parent)
                ) from None
            raise
        return {
            "copied_bytes": report.copied_bytes,
            "added_bytes": report.added_bytes,
            "file_bytes": report.file_bytes,
        }

    def unchanged(self, base_path: str, staged: StagedFile, new_path: str, columns: Sequence[str]) -> str | None:
        """Compare chunk bytes: old columns with the base file, new ones with the staged file."""
        before = chunk_digests(local_path(base_path))
        added = chunk_digests(local_path(staged.path))
        after = chunk_digests(local_path(new_path))
        expected = before | {name: value for name, value in added.items() if name.split(".")[0] in columns}
        return next((name for name in sorted(expected | after) if expected.get(name) != after.get(name)), None)


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
