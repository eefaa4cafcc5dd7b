"""Columns that grow part by part, in memory or in scratch files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.scratch_folder import ScratchFolder
from nbplat.sequence.windows import framed

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Grown", "Scratch"]


class Scratch:
    """A folder that is made when it is needed, and its files.

    Args:
        folder: Where it is made; None: where the system has its own.
    """

    def __init__(self, folder: Path | None) -> None:
        self._parent = folder
        self._folder: ScratchFolder | None = None
        self._count = 0

    def path(self, name: str) -> Path:
        """A new file's place."""
        if self._folder is None:
            self._folder = ScratchFolder(self._parent, "nbplat-tokens-")
        self._count += 1
        return self._folder.path / f"{self._count:06d}-{name}"

    def table(self, table: pa.Table) -> pa.Table:
        """The same rows, from a file."""
        path = self.path("values.arrow")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()

    def close(self) -> None:
        """Remove it with all files."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None


class Grown:
    """A column that grows part by part, in memory or in a file."""

    def __init__(self, name: str, scratch: Scratch) -> None:
        self._name = name
        self._scratch = scratch
        self._parts: list[npt.NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._like: npt.NDArray[Any] | None = None
        self.rows = 0

    @property
    def bytes(self) -> int:
        """What is in memory."""
        return sum(part.nbytes for part in self._parts)

    def add(self, column: npt.NDArray[Any]) -> None:
        """More rows, of one dtype and shape."""
        self._like = column[:0] if self._like is None else self._like
        self.rows += len(column)
        if self._path is not None:
            self._write(column)
        else:
            self._parts.append(column)

    def spill(self) -> None:
        """Go on in a file."""
        self._path = self._scratch.path(f"{self._name}.bin")
        for part in self._parts:
            self._write(part)
        self._parts = []

    def _write(self, column: npt.NDArray[Any]) -> None:
        if self._file is None:
            assert self._path is not None  # noqa: S101 - `spill` named it
            self._file = self._path.open("wb")
        self._file.write(np.ascontiguousarray(column).data)

    def framed(self, margin: int, *, turned: bool) -> npt.NDArray[Any]:
        """The whole column, which is in memory, for `nbplat.sequence.windows.Windows`."""
        assert self._like is not None  # noqa: S101 - a column that nothing was added to is not asked for
        parts, self._parts = self._parts, []
        return framed(parts, self._like, margin, turned=turned)

    def finish(self, fill: Any) -> npt.NDArray[Any]:
        """The whole column, and one row of `fill` behind."""
        assert self._like is not None  # noqa: S101 - a column that nothing was added to is not asked for
        last = np.full((1, *self._like.shape[1:]), fill, self._like.dtype)
        if self._path is None:
            whole = np.concatenate([*self._parts, last])
            self._parts = []
            return whole
        self._write(last)
        assert self._file is not None  # noqa: S101
        self._file.close()
        self._file = None
        return np.memmap(self._path, self._like.dtype, "r", shape=(self.rows + 1, *self._like.shape[1:]))
