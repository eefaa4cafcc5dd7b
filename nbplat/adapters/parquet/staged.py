"""Staged files: written beside their base file's row groups, read back by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from nbplat.terms import Files, StagedFile

__all__ = ["StagedParquet"]


class StagedParquet:
    """Knows where staged files lie, and reads them.

    Args:
        files: Reads them.
        root_of: Table -> the location of the folder that holds one folder per run.
    """

    def __init__(self, files: Files, root_of: Callable[[str], str]) -> None:
        self._files, self._root_of = files, root_of

    def folder(self, run_id: str, table: str) -> str:
        """Where a run's staged files go."""
        return f"{self._root_of(table)}/{run_id.replace('@', '-')}"

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file, in row order."""
        with self._files.open_input(staged.path) as file:
            return pq.ParquetFile(file).read(columns=list(columns)).select(list(columns))

    def free_bytes(self, table: str) -> int | None:
        """Room where a table's staged files go."""
        return self._files.free_bytes(self._root_of(table))
