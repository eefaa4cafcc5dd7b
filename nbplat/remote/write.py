"""Writes a staged file beside its base file's row groups: temporary name, sync, rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from .failure import KernelError
from .numbering import numbered
from .storage import filesystem

__all__ = ["BASE_FILE_COLUMN", "POSITION_COLUMN", "staged_bytes", "staged_location", "write_staged"]

BASE_FILE_COLUMN = "nb_file"
POSITION_COLUMN = "nb_pos"
_SMALL_BYTES = 1 << 20


def staged_location(out: str, unit: str, fence: int) -> str:
    """Where a unit's staged file goes; the name holds unit and fence, so that tries never meet."""
    return f"{out.rstrip('/')}/{unit}-{fence}.parquet"


def write_staged(
    columns: pa.Table,
    *,
    base_path: str,
    out: str,
    unit: str,
    fence: int,
    positions: Any,
    groups: Sequence[int],
    digest: str,
    storage: Mapping[str, str],
    distinct: Collection[str] = (),
) -> dict[str, Any]:
    """Write one staged file.

    Args:
        columns: Keys, partition sources and new columns; one row per live row of the base file, in order.
        positions: ``int64[rows]`` physical rows; None when the base file has no deletes.
        groups: Rows per row group; they sum to the table's rows.
        digest: Of the keys (see `align.key_digest`).
        distinct: Columns that hold no value twice.

    Returns:
        The record of a staged file: base_path, path, rows, file_bytes, dense, key_digest.

    Raises:
        KernelError: ``disk.full``; nothing half-written is left behind.
    """
    table = _with_position(columns, base_path, positions)
    location = staged_location(out, unit, fence)
    system, path = filesystem(location, storage)
    if isinstance(system, pyarrow.fs.LocalFileSystem):
        size = _write_local(table, path, groups, distinct, dense=positions is None)
        location = f"file://{path}"
    else:
        # An object appears whole, when the stream is closed.
        with system.open_output_stream(path) as sink:
            _write(table, sink, groups, distinct, dense=positions is None)
            size = sink.tell()
    return {
        "base_path": base_path,
        "path": location,
        "rows": columns.num_rows,
        "file_bytes": size,
        "dense": positions is None,
        "key_digest": digest,
    }


def staged_bytes(columns: pa.Table, base_path: str, distinct: Collection[str] = ()) -> int:
    """Size that the table would have as a staged file, without writing one."""
    table = _with_position(columns, base_path, None)
    return int(_in_memory(table, [columns.num_rows], distinct, dense=True).size)


def _in_memory(table: pa.Table, groups: Sequence[int], distinct: Collection[str], *, dense: bool) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    _write(table, sink, groups, distinct, dense=dense)
    return sink.getvalue()


def _write_local(table: pa.Table, target: str, groups: Sequence[int], distinct: Collection[str], *, dense: bool) -> int:
    partial = Path(target + ".partial")
    try:
        # Small files are written at once: Arrow comes back to the interpreter for every page of an open file.
        small = _in_memory(table, groups, distinct, dense=dense) if table.nbytes <= _SMALL_BYTES else None
        with _created(partial) as file:
            if small is None:
                _write(table, file, groups, distinct, dense=dense)
            else:
                file.write(small)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        partial.replace(target)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise KernelError(
                "disk.full",
                "the disk is full",
                fix="make room, then run the same cell again",
                where=str(partial.parent),
                kind="SetupError",
            ) from None
        raise
    return size


def _created(path: Path) -> BinaryIO:
    """A new file, in a folder that is made when it is not there."""
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


def _with_position(columns: pa.Table, base_path: str, positions: Any) -> pa.Table:
    """Add ``nb_file`` and ``nb_pos`` at the end; field ids are the positions, as in the staging table."""
    rows = columns.num_rows
    # A dictionary of one: its indices are written as they are, and no value is hashed.
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([base_path], pa.string()))
    physical = np.arange(rows, dtype=np.int64) if positions is None else positions
    arrays = [*columns.columns, name, pa.array(physical, pa.int64())]
    return pa.Table.from_arrays(arrays, schema=_staged_schema(columns.schema, name.type))


@lru_cache(maxsize=8)
def _staged_schema(columns: pa.Schema, name: pa.DataType) -> pa.Schema:
    """The same for every file of a run."""
    fields = [pa.field(field.name, field.type) for field in columns]
    return numbered(pa.schema([*fields, pa.field(BASE_FILE_COLUMN, name), pa.field(POSITION_COLUMN, pa.int64())]))


def _write(table: pa.Table, sink: Any, groups: Sequence[int], distinct: Collection[str], *, dense: bool) -> None:
    # A dictionary of values that all differ is given up after the work of making it.
    flat = [name for name in table.column_names if name != POSITION_COLUMN and name not in distinct]
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        write_page_index=True,
        use_dictionary=flat,
        # A run of numbers is its first value and a step.
        column_encoding={POSITION_COLUMN: "DELTA_BINARY_PACKED"},
        # Readers take the columns as Parquet declares them: the dictionary above is no type of ours.
        store_schema=False,
    ) as writer:
        offset = 0
        for rows in groups:
            # A group that lost all its rows is left out; an empty one of a dense file keeps the count.
            if rows or dense:
                writer.write_table(table.slice(offset, rows), row_group_size=max(rows, 1))
            offset += rows
