"""The splicer of a backfill: data files made from data files, wherever they lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.parquet.compare import first_difference
from nbplat.adapters.parquet.merge import read_base_footer
from nbplat.adapters.parquet.rewrite import rewrite
from nbplat.adapters.parquet.splice import splice
from nbplat.backfill.ports import Addition, FileLayout, FileRead
from nbplat.terms import Files

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetSplicer"]


class ParquetSplicer:
    """Splices files of any store.

    Args:
        files: Reads the base and aligned files and writes the new ones.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def free_bytes(self, base_path: str) -> int | None:
        """Room where the file's replacement goes."""
        return self._files.free_bytes(base_path)

    def target_path(self, base_path: str, run_id: str, fence: int) -> str:
        """Beside the base file; the name holds the run and the try."""
        folder, slash, name = base_path.rpartition("/")
        stem = name.removesuffix(".parquet").split("--nb-")[0]
        return f"{folder}{slash}{stem}--nb-{run_id.replace('@', '-')}-{fence}.parquet"

    def layout(self, path: str) -> FileLayout:
        """Read a footer."""
        with self._files.open_input(path) as file:
            footer = read_base_footer(file, path)
            columns = {column.name: column.field_id for column in footer.columns}
            return FileLayout(tuple(footer.group_rows), columns, file.seek(0, 2))

    def splice(
        self,
        base_path: str,
        additions: Sequence[Addition],
        out_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> dict[str, int]:
        """Splice one file; a leftover of a killed try under the same name is replaced.

        Raises:
            SetupError: when the disk is full; nothing is left behind.
        """
        return splice(self._files, base_path, additions, out_path, drop=drop, name_ids=name_ids).record()

    def rewrite(
        self,
        read: FileRead,
        schema: pa.Schema,
        added: pa.Table,
        out_path: str,
        *,
        names: Mapping[int, Sequence[str]] | None = None,
    ) -> dict[str, int]:
        """Decode the live rows and encode them with the columns of `added`."""
        return rewrite(self._files, read, schema, added, out_path, names=names).record()

    def unchanged(
        self,
        base_path: str,
        additions: Sequence[Addition],
        new_path: str,
        *,
        drop: Collection[int] = (),
        name_ids: Mapping[tuple[str, ...], int] | None = None,
    ) -> str | None:
        """Compare chunk bytes: old columns with the base file, new ones with their aligned files."""
        return first_difference(self._files, base_path, additions, new_path, drop=drop, name_ids=name_ids)
