"""Compare the columns of a run with another run's, or with the table's own: what changed, by how much, where.

Files are compared one by one, so that memory holds two of them at a time. Rows whose file is another one on the
other side wait, and are matched by key at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.backfill.diff_columns import ColumnDiff, Gathered
from nbplat.errors import SetupError
from nbplat.remote.codes import positions_of

__all__ = ["DiffReport", "Piece", "compare_pieces", "root_of"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of one side.

    Attributes:
        root: What the file goes back to: its base file's path without the marks of promotions.
        read: Reads columns of it, in row order.
    """

    root: str
    read: Callable[[Sequence[str]], pa.Table]


@dataclass(frozen=True, slots=True)
class DiffReport:
    """What a comparison found.

    Attributes:
        before, after: What was compared: a run id, or ``live`` with the table's name.
        rows: Rows that both sides have.
        only_before, only_after: Rows that one side has alone; they are in no other count.
        columns: What changed, column by column.
    """

    table: str
    before: str
    after: str
    keys: tuple[str, ...]
    rows: int
    only_before: int
    only_after: int
    columns: tuple[ColumnDiff, ...]

    def record(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "table": self.table,
            "before": self.before,
            "after": self.after,
            "keys": list(self.keys),
            "rows": self.rows,
            "only_before": self.only_before,
            "only_after": self.only_after,
            "columns": [column.record() for column in self.columns],
        }


def root_of(path: str) -> str:
    """A data file's path as it was before any promotion: ``a/x--nb-spend-1-3.parquet`` and ``a/x.parquet`` are one."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.split('--nb-')[0].removesuffix('.parquet')}"


def compare_pieces(
    before: Sequence[Piece],
    after: Sequence[Piece],
    keys: Sequence[str],
    columns: Mapping[str, str],
    *,
    memory_bytes: int,
) -> tuple[int, int, int, tuple[ColumnDiff, ...]]:
    """Compare two sides.

    Args:
        keys: Columns that identify a row on both sides.
        columns: Column of the new side -> the column of the old side that it is compared with.
        memory_bytes: Bound on the rows that wait for their partner in another file.

    Returns:
        Rows on both sides, rows on the old side only, rows on the new side only, and the columns' differences.

    Raises:
        SetupError: ``diff.memory`` when more rows wait than memory holds.
    """
    gathered = {new: Gathered(new, keys) for new in columns}
    waiting = _Waiting(memory_bytes)
    rows = 0
    for old, new in _pairs(before, after):
        left = old.read([*keys, *columns.values()]) if old else None
        right = new.read([*keys, *columns]) if new else None
        if left is None or right is None:
            waiting.add(left, right)
            continue
        at = _positions(right, left, keys)
        rows += _take_in(gathered, left, right, at, columns)
        waiting.add(_left_over(left, at), right.filter(pa.array(at < 0)))
    left, right = waiting.tables()
    if left is not None and right is not None:
        at = positions_of(right.select(list(keys)), left.select(list(keys)), keys)
        rows += _take_in(gathered, left, right, at, columns)
        left, right = _left_over(left, at), right.filter(pa.array(at < 0))
    alone = [0 if side is None else side.num_rows for side in (left, right)]
    return rows, alone[0], alone[1], tuple(each.finish() for each in gathered.values())


def _pairs(before: Sequence[Piece], after: Sequence[Piece]) -> Iterator[tuple[Piece | None, Piece | None]]:
    """Pieces of one root together; those of one side only by themselves."""
    olds = {piece.root: piece for piece in before}
    for new in after:
        yield olds.pop(new.root, None), new
    for old in olds.values():
        yield old, None


def _positions(table: pa.Table, among: pa.Table, keys: Sequence[str]) -> Any:
    own, other = table.select(list(keys)), among.select(list(keys))
    if own.equals(other):
        return np.arange(table.num_rows)
    if not among.num_rows:
        return np.full(table.num_rows, -1)
    return positions_of(own, other, keys)


def _take_in(
    gathered: Mapping[str, Gathered], left: pa.Table, right: pa.Table, at: Any, columns: Mapping[str, str]
) -> int:
    found = at >= 0
    right = right.filter(pa.array(found))
    left = left.take(pa.array(at[found]))
    for new, old in columns.items():
        gathered[new].add(left[old].combine_chunks(), right[new].combine_chunks(), right)
    return int(found.sum())


def _left_over(left: pa.Table, at: Any) -> pa.Table:
    alone = np.ones(left.num_rows, dtype=bool)
    alone[at[at >= 0]] = False
    return left.filter(pa.array(alone))


class _Waiting:
    """Rows of either side whose partner has not been seen."""

    def __init__(self, memory_bytes: int) -> None:
        self._most = memory_bytes
        self._bytes = 0
        self._sides: tuple[list[pa.Table], list[pa.Table]] = ([], [])

    def add(self, left: pa.Table | None, right: pa.Table | None) -> None:
        for side, rows in zip(self._sides, (left, right), strict=True):
            if rows is not None and rows.num_rows:
                side.append(rows)
                self._bytes += rows.nbytes
        if self._bytes > self._most:
            raise SetupError(
                "diff.memory",
                f"{self._bytes:,} bytes of rows lie in other files on the other side, and {self._most:,} may be held",
                fix="raise limits.memory_bytes, or compare runs that were staged on the same files",
            )

    def tables(self) -> tuple[pa.Table | None, pa.Table | None]:
        left, right = (pa.concat_tables(side) if side else None for side in self._sides)
        return left, right
