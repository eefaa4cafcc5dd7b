"""Reads the live rows of one base Parquet file, by field id, opening its footer once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from .failure import KernelError, of_store
from .project import Names, constant, matching, project
from .storage import filesystem
from .task import FileTask

__all__ = ["BaseRows", "open_parquet", "read_live"]


class BaseRows(NamedTuple):
    """The live rows of a base file.

    Attributes:
        table: The wanted columns in the wanted types, rows in file order.
        positions: ``int64[rows]`` physical row indices; None when no row is deleted.
        groups: Live rows of each row group of the file; sums to the table's rows.
    """

    table: pa.Table
    positions: Any
    groups: list[int]


def read_live(
    file: FileTask,
    columns: pa.Schema,
    names: Names,
    storage: Mapping[str, str],
    *,
    use_threads: bool = False,
) -> BaseRows:
    """Read the columns of a base file's live rows.

    A column is found by its field id; in a file without ids by the names it may have. One that the file
    lacks has its constant, else nulls. Types that were promoted since are widened.

    Raises:
        KernelError: ``file.gone``, ``file.damaged``, ``stage.rows`` (not the rows that the manifest
            counts), ``file.column`` (a column that must not be null is missing).
    """
    with open_parquet(file["path"], storage) as reader:
        metadata = reader.metadata
        if metadata.num_rows != file["rows"]:
            raise KernelError(
                "stage.rows",
                f"the file holds {metadata.num_rows} rows, planned were {file['rows']}",
                fix="plan the run again",
                where=file["path"],
            )
        found = matching(reader.schema_arrow, columns, names)
        wanted = [field.name for field in found.values()]
        try:
            # Nothing to read still has rows: they come from the footer.
            raw = reader.read(columns=wanted, use_threads=use_threads) if wanted else None
        except (pa.ArrowInvalid, OSError) as exc:
            raise _damaged(file["path"], exc) from exc
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    table = _in_form(raw, file, columns, found, names)
    if not file["deleted"]:
        return BaseRows(table, None, groups)
    return _without(table, np.frombuffer(file["deleted"], dtype="<i8"), groups, file["path"])


def open_parquet(location: str, storage: Mapping[str, str]) -> pq.ParquetFile:
    """Open a Parquet file; close it, or use it as a context.

    Raises:
        KernelError: ``file.gone`` or ``file.damaged``.
    """
    system, path = filesystem(location, storage)
    try:
        source = system.open_input_file(path)
    except FileNotFoundError:
        raise KernelError(
            "file.gone",
            "a data file of the planned snapshot is gone",
            fix="plan the run again (the cell with --new); keep snapshots longer or tag them while runs need them",
            where=location,
        ) from None
    try:
        # Iceberg v2 has microseconds only; INT96 is what old Spark and Hive wrote. Fetching ahead pays where a
        # request is far.
        far = not isinstance(system, pa.fs.LocalFileSystem)
        return pq.ParquetFile(source, coerce_int96_timestamp_unit="us", pre_buffer=far)
    except (pa.ArrowInvalid, OSError) as exc:
        source.close()
        raise _damaged(location, exc) from exc


def _damaged(location: str, exc: Exception) -> KernelError:
    if isinstance(exc, OSError) and (refused := of_store(exc)) is not None:
        return refused
    return KernelError(
        "file.damaged",
        f"the data file cannot be read: {str(exc).splitlines()[0]}",
        fix="restore the file, or remove it from the table, then plan again",
        where=location,
    )


def _in_form(
    raw: pa.Table | None,
    file: FileTask,
    columns: pa.Schema,
    found: Mapping[str, pa.Field],
    names: Names,
) -> pa.Table:
    arrays = []
    for field in columns:
        if raw is not None and field.name in found:
            source = found[field.name]
            arrays.append(project(raw.column(source.name), source, field, names))
        elif field.name in file["constants"]:
            arrays.append(constant(file["constants"][field.name], field.type, file["rows"]))
        elif field.nullable:
            arrays.append(pa.chunked_array([pa.nulls(file["rows"], field.type)], field.type))
        else:
            raise KernelError(
                "file.column",
                f"the file has no column {field.name!r}, which must not be null",
                fix="repair the table: a required column is missing in this file",
                where=file["path"],
            )
    # A required column is required of the table, not of what a query makes of it.
    plain = [pa.field(field.name, field.type) for field in columns]
    return pa.table(arrays, schema=pa.schema(plain)) if arrays else pa.table({}).slice(0, 0)


def _without(table: pa.Table, deleted: Any, groups: Sequence[int], path: str) -> BaseRows:
    if len(deleted) and (deleted[0] < 0 or deleted[-1] >= sum(groups)):
        raise KernelError(
            "file.deletes",
            f"a delete names row {int(deleted[-1])} of a file of {sum(groups)} rows",
            fix="plan the run again",
            where=path,
        )
    live = np.ones(sum(groups), dtype=bool)
    live[deleted] = False
    ends = np.cumsum([0, *groups])
    gone = np.diff(np.searchsorted(deleted, ends))
    positions = np.flatnonzero(live).astype(np.int64)
    return BaseRows(table.take(pa.array(positions)), positions, [rows - int(n) for rows, n in zip(groups, gone)])
