"""Data files: staged ones, and those that a landing makes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nbplat.backfill.ports.tables import FileRead
from nbplat.terms import StagedFile

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["Addition", "FileLayout", "Splicer", "StagedWriter"]


class StagedWriter(Protocol):
    """Where staged files lie; the staging kernel writes them."""

    def folder(self, run_id: str, table: str) -> str:
        """Where the staged files of a run of a table go; a location, which need not exist.

        Beside the tables when they lie on an object store, on this machine otherwise.
        """

    def read(self, staged: StagedFile, columns: Sequence[str]) -> pa.Table:
        """Read columns of a staged file back."""

    def free_bytes(self, table: str) -> int | None:
        """Room where staged files of a table go; None when the store has no limit."""


@dataclass(frozen=True, slots=True)
class Addition:
    """Columns of one aligned file that a new data file takes in.

    Attributes:
        path: An aligned file: the same rows in the same order, cut into the same row groups.
        field_ids: Column of that file -> its field id in the table. A nested column brings the ids of all
            its fields, by the dotted paths that Iceberg gives them: ``tags``, ``tags.element``; ``m``,
            ``m.key``, ``m.value``; ``s``, ``s.x``.
    """

    path: str
    field_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FileLayout:
    """What a data file's own footer says.

    Attributes:
        group_rows: Rows of each row group.
        columns: Top-level columns by their name in the file -> field id; None where it names none.
        file_bytes: Size of the file.
    """

    group_rows: tuple[int, ...]
    columns: Mapping[str, int | None]
    file_bytes: int


class Splicer(Protocol):
    """Makes the file that replaces a live data file."""

    def target_path(self, base_path: str, run_id: str, fence: int) -> str:
        """Where the new file goes: beside the base file, under a name no other try uses."""

    def free_bytes(self, base_path: str) -> int | None:
        """Room where the file's replacement goes; None when the store has no limit."""

    def layout(self, path: str) -> FileLayout:
        """Read a footer. Raises DataError ``parquet.damaged`` or ``parquet.encrypted``."""

    def splice(
        self,
        base_path: str,
        additions: Sequence[Addition],
        out_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> dict[str, int]:
        """Copy a file, add columns to it and leave others out; no value is decoded.

        `drop` holds field ids of top-level columns (ids the file does not have are passed over). A column
        whose name another field of the file bears can be added when that one is dropped in the same pass.
        `name_ids` is for files without field ids: path of each field -> id (``("tags", "element")``); columns
        it does not name are left out. Files with ids do not need it and it is not looked at.

        Returns ``copied_bytes``, ``added_bytes``, ``file_bytes`` and ``dead_bytes``: of the bytes copied,
        those of columns left out.
        """

    def rewrite(
        self,
        read: FileRead,
        schema: pa.Schema,
        added: pa.Table,
        out_path: str,
        *,
        names: Mapping[int, Sequence[str]] | None = None,
    ) -> dict[str, int]:
        """Decode the live rows of a file and write them with more columns; returns what `splice` returns.

        Args:
            schema: The columns to keep, every field with ``PARQUET:field_id``; one that the file does not
                hold is left out.
            added: One row per live row, in file order; every field with ``PARQUET:field_id``. Without a
                column when nothing is added.
            names: For a file without field ids: field id -> names it may have in the file.
        """

    def unchanged(
        self,
        base_path: str,
        additions: Sequence[Addition],
        new_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> str | None:
        """None when every kept chunk equals the base's and every new one its aligned file's; else the first unequal."""
