"""Staged files: written beside their base file's row groups, read back by column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from nbplat.terms import Files, StagedFile

__all__ = ["StagedParquet"]


class StagedParquet:
    """Knows where staged files lie, and reads them.

    Args:
        files: Where the folder lies.
        folder: Holds one folder per run; a location.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._files, self._folder = files, folder

    def folder(self, run_id: str) -> str:
        """Where a run's staged files go."""
        return f"{self._folder}/{run_id.replace('@', '-')}"

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file, in row order."""
        with self._files.open_input(staged.path) as file:
            return pq.ParquetFile(file).read(columns=list(columns)).select(list(columns))

    def free_bytes(self) -> int | None:
        """Room on the staging folder's disk."""
        return self._files.free_bytes(self._folder)
