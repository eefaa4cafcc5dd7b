"""The way out where a file cannot be spliced: decode its live rows, add columns, encode.

Row groups follow the old file's, less the rows that are deleted, so that no more than one of them is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.parquet.footer import damaged
from nbplat.adapters.parquet.splice import SpliceReport
from nbplat.backfill.ports import FileRead
from nbplat.errors import DataError
from nbplat.remote.project import constant, matching, project
from nbplat.terms import Files

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["rewrite"]


def rewrite(
    files: Files,
    read: FileRead,
    schema: pa.Schema,
    added: pa.Table,
    out: str,
    *,
    names: Mapping[int, Sequence[str]] | None = None,
) -> SpliceReport:
    """Write `out` with the live rows of a file, in their order, and the columns of `added` beside them.

    Args:
        read: The old file: its rows, its deleted rows, and values of columns that it does not hold.
        schema: The columns to keep, with ``PARQUET:field_id`` on every field and nested field. Types that
            were promoted since are widened. A column that the file does not hold at all is left out.
        added: One row per live row; field ids on every field. No columns: nothing is added.
        out: Replaced when it is there.
        names: Field id -> names it may have in a file without field ids; else its name in `schema`.

    Raises:
        DataError: the file is damaged or encrypted, does not hold the rows it should, or `added` has another
            number of rows. Nothing is written then.
        SetupError: the disk is full.
    """
    import numpy as np
    import pyarrow as pa

    deleted = np.frombuffer(read.deleted, dtype="<i8")
    live = read.rows - len(deleted)
    if added.num_columns and added.num_rows != live:
        raise DataError(
            "rewrite.rows",
            f"{added.num_rows} rows are to be added to {live}",
            fix="promote again: rows were deleted meanwhile",
            where=read.path,
        )
    with files.open_input(read.path) as source:
        reader = _opened(source, read)
        try:
            columns = _Columns(reader, read, schema, names or {})
            fields = pa.schema([*columns.fields, *added.schema])
            with files.open_output(out) as target:
                _write(reader, columns, deleted, added, fields, target)
        except pa.ArrowInvalid as exc:
            raise damaged(read.path) from exc
    size = files.size(out)
    return SpliceReport(copied_bytes=0, added_bytes=size, file_bytes=size, dead_bytes=0)


class _Columns:
    """The kept columns of a file, group by group.

    Attributes:
        fields: Those that the file holds, or has a constant for.
    """

    def __init__(
        self, reader: pq.ParquetFile, read: FileRead, schema: pa.Schema, names: Mapping[int, Sequence[str]]
    ) -> None:
        self._reader, self._read, self._names = reader, read, names
        self._found = matching(reader.schema_arrow, schema, names)
        self.fields = [field for field in schema if field.name in self._found or field.name in read.constants]

    def group(self, number: int) -> list[pa.ChunkedArray]:
        """Each column's values in a row group."""
        rows = self._reader.metadata.row_group(number).num_rows
        wanted = [field.name for field in self._found.values()]
        raw = self._reader.read_row_group(number, columns=wanted) if wanted else None
        arrays = []
        for field in self.fields:
            if raw is not None and (source := self._found.get(field.name)) is not None:
                arrays.append(project(raw.column(source.name), source, field, self._names))
            else:
                arrays.append(constant(self._read.constants[field.name], field.type, rows))
        return arrays


def _opened(source: Any, read: FileRead) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Iceberg v2 has microseconds only; INT96 is what old Spark and Hive wrote.
        reader = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
    except (pa.ArrowInvalid, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise damaged(read.path) from exc
    if reader.metadata.num_rows != read.rows:
        raise DataError(
            "rewrite.rows",
            f"the file holds {reader.metadata.num_rows} rows, its manifest says {read.rows}",
            fix="restore the file, then promote again",
            where=read.path,
        )
    return reader


def _write(
    reader: pq.ParquetFile, columns: _Columns, deleted: Any, added: pa.Table, fields: pa.Schema, target: Any
) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    # The schema as Parquet says it is what every reader takes; Arrow's own would name the old columns' types.
    how: dict[str, Any] = {"compression": "zstd", "write_page_index": True, "store_schema": False}
    with pq.ParquetWriter(target, fields, **how) as writer:
        start = taken = 0
        for number in range(reader.metadata.num_row_groups):
            rows = reader.metadata.row_group(number).num_rows
            live = np.ones(rows, dtype=bool)
            live[deleted[(deleted >= start) & (deleted < start + rows)] - start] = False
            count = int(live.sum())
            if count:
                keep = pa.array(live)
                kept = [values if count == rows else values.filter(keep) for values in columns.group(number)]
                more = [values.slice(taken, count) for values in added.columns]
                writer.write_table(pa.table([*kept, *more], schema=fields), row_group_size=count)
            start, taken = start + rows, taken + count
