"""Reads the live rows of one base Parquet file, by field id, opening its footer once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from .buffer_pool import BufferPool
from .failure import KernelError, of_store
from .pooled import read_pooled
from .project import Names, constant, matching, project, without_ids
from .storage import filesystem

__all__ = ["BaseRows", "live_chunks", "open_parquet", "read_groups", "read_live"]

_COLUMNS_AT_ONCE = 4
# Of a local file, as much of a column as is read at once.
_READ_BYTES = 1 << 18


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
    file: Mapping[str, Any],
    columns: pa.Schema,
    names: Names,
    storage: Mapping[str, str],
    *,
    use_threads: bool = False,
    by_name: bool = False,
    pool: BufferPool | None = None,
) -> BaseRows:
    """Read the columns of a base file's live rows.

    A column is found by its field id; in a file without ids by the names it may have. One that the file
    lacks has its constant, else nulls. Types that were promoted since are widened.

    Args:
        by_name: Columns are found by their names, whatever ids the file has.
        pool: Where the values are put, by one thread; None: in Arrow's memory.

    Raises:
        KernelError: ``file.gone``, ``file.damaged``, ``stage.rows`` (not the rows that the manifest
            counts), ``file.column`` (a column that must not be null is missing).
    """
    with open_parquet(file["path"], storage, **_buffered(pool)) as reader:
        metadata = reader.metadata
        _check_rows(metadata, file)
        schema = pa.schema([without_ids(field) for field in reader.schema_arrow]) if by_name else reader.schema_arrow
        found = matching(schema, columns, names)
        wanted = [field.name for field in found.values()]
        try:
            # Nothing to read still has rows: they come from the footer.
            far = _is_far(file["path"], storage)
            raw = _raw(reader, wanted, None, pool, far=far, use_threads=use_threads)
        except (pa.ArrowInvalid, OSError) as exc:
            raise _damaged(file["path"], exc) from exc
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    table = _in_form(raw, file, columns, found, names, file["rows"])
    if not file["deleted"]:
        return BaseRows(table, None, groups)
    return _without(table, np.frombuffer(file["deleted"], dtype="<i8"), groups, file["path"])


def read_groups(
    file: Mapping[str, Any],
    columns: pa.Schema,
    names: Names,
    storage: Mapping[str, str],
    chosen: Sequence[int],
    *,
    by_name: bool = False,
    pool: BufferPool | None = None,
) -> BaseRows:
    """Read what `read_live` reads, of some row groups only.

    Args:
        chosen: Numbers of row groups, ascending.

    Returns:
        Positions are physical rows of the whole file, and never None.

    Raises:
        KernelError: as `read_live`.
    """
    with open_parquet(file["path"], storage, **_buffered(pool)) as reader:
        _check_rows(reader.metadata, file)
        schema = pa.schema([without_ids(field) for field in reader.schema_arrow]) if by_name else reader.schema_arrow
        found = matching(schema, columns, names)
        wanted = [field.name for field in found.values()]
        sizes = [reader.metadata.row_group(number).num_rows for number in range(reader.metadata.num_row_groups)]
        try:
            raw = _raw(reader, wanted, list(chosen), pool, far=_is_far(file["path"], storage))
        except (pa.ArrowInvalid, OSError) as exc:
            raise _damaged(file["path"], exc) from exc
    starts = np.cumsum([0, *sizes])
    spans = [np.arange(starts[number], starts[number + 1], dtype=np.int64) for number in chosen]
    positions = np.concatenate(spans) if spans else np.empty(0, np.int64)
    table = _in_form(raw, file, columns, found, names, len(positions))
    deleted = np.frombuffer(file["deleted"], dtype="<i8")
    _check_deleted(deleted, sum(sizes), file["path"])
    lives = ~np.isin(positions, deleted, assume_unique=True)
    groups = [int(lives[slice(*ends)].sum()) for ends in _ends([sizes[number] for number in chosen])]
    if not lives.all():
        table = table.take(pa.array(np.flatnonzero(lives)))
        positions = positions[lives]
    return BaseRows(table, positions, groups)


def _buffered(pool: BufferPool | None) -> dict[str, int]:
    """What is read in pieces need not be in memory packed and whole."""
    return {} if pool is None else {"buffer_size": _READ_BYTES}


def _raw(
    reader: pq.ParquetFile,
    wanted: list[str],
    groups: list[int] | None,
    pool: BufferPool | None,
    *,
    far: bool,
    use_threads: bool = False,
) -> pa.Table | None:
    """These columns of the file, of all row groups or of some; None for no column."""
    if not wanted:
        return None
    if pool is not None:
        return read_pooled(reader, wanted, pool, groups, together=far)

    def read(some: list[str]) -> pa.Table:
        if groups is None:
            return reader.read(columns=some, use_threads=use_threads)
        return reader.read_row_groups(groups, columns=some, use_threads=use_threads)

    if far or use_threads:
        return read(wanted)
    # A reader keeps the pages of all columns that it is asked for.
    parts = [read(wanted[at : at + _COLUMNS_AT_ONCE]) for at in range(0, len(wanted), _COLUMNS_AT_ONCE)]
    columns = [column for part in parts for column in part.columns]
    return pa.table(columns, names=[name for part in parts for name in part.column_names])


def _ends(sizes: Sequence[int]) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *sizes]).tolist()
    return list(zip(ends, ends[1:]))


def live_chunks(
    file: Mapping[str, Any],
    columns: pa.Schema,
    names: Names,
    storage: Mapping[str, str],
    chunk_rows: int,
    *,
    by_name: bool = False,
    encoded: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Read what `read_live` reads, at most so many rows at a time.

    Args:
        file: ``path``, ``rows``, ``constants`` and ``deleted`` of a `task.FileTask`; ``groups``, when it is there,
            the row groups ``[first, end)`` to read.
        by_name: Columns are found by their names, whatever ids the file has, and need not be there.
        encoded: Columns of texts that may come as dictionaries, which take less time to read than many equal texts.

    Raises:
        KernelError: as `read_live`; ``file.type`` for a column that is of another type in this file.
    """
    with ExitStack() as held:
        reader = held.enter_context(open_parquet(file["path"], storage))
        _check_rows(reader.metadata, file)
        schema = reader.schema_arrow
        if by_name:
            schema = pa.schema([without_ids(field) for field in schema])
        found = matching(schema, columns, names)
        texts = [name for name in encoded if name in found and pa.types.is_string(found[name].type)]
        if texts:
            reader = held.enter_context(_with_dictionaries(reader, [found[name].name for name in texts], file, storage))
            columns = pa.schema([_encoded(field) if field.name in texts else field for field in columns])
        sizes = [reader.metadata.row_group(number).num_rows for number in range(reader.metadata.num_row_groups)]
        first, end = file.get("groups") or (0, len(sizes))
        deleted = np.frombuffer(file.get("deleted", b""), dtype="<i8")
        _check_deleted(deleted, sum(sizes), file["path"])
        at = sum(sizes[:first])
        for raw, rows in _batches(reader, found, range(first, end), sum(sizes[first:end]), chunk_rows, file["path"]):
            table = _in_form(raw, file, columns, found, names, rows)
            gone = deleted[slice(*np.searchsorted(deleted, (at, at + rows)))] - at
            if len(gone):
                live = np.ones(rows, dtype=bool)
                live[gone] = False
                table = table.filter(pa.array(live)) if table.num_columns else table.slice(0, int(live.sum()))
            at += rows
            if table.num_rows:
                yield table


def _batches(
    reader: pq.ParquetFile, found: Mapping[str, pa.Field], groups: range, rows: int, chunk_rows: int, path: str
) -> Iterator[tuple[pa.Table | None, int]]:
    """Tables of the columns that the file has, with their rows; None for a file that has none of them."""
    wanted = [field.name for field in found.values()]
    if not wanted or not rows:
        yield from ((None, min(chunk_rows, rows - start)) for start in range(0, rows, chunk_rows))
        return
    batches = reader.iter_batches(chunk_rows, row_groups=list(groups), columns=wanted, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowInvalid, OSError) as exc:
            raise _damaged(path, exc) from exc
        if batch is None:
            return
        yield pa.Table.from_batches([batch]), batch.num_rows


def _encoded(field: pa.Field) -> pa.Field:
    return field.with_type(pa.dictionary(pa.int32(), field.type))


def _with_dictionaries(
    reader: pq.ParquetFile, columns: list[str], file: Mapping[str, Any], storage: Mapping[str, str]
) -> pq.ParquetFile:
    """The same file once more, these columns of texts as dictionaries; its footer is not read again."""
    return open_parquet(file["path"], storage, metadata=reader.metadata, read_dictionary=columns)


def open_parquet(location: str, storage: Mapping[str, str], **options: Any) -> pq.ParquetFile:
    """Open a Parquet file; close it, or use it as a context.

    Args:
        options: For pyarrow's reader.

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
            fix="plan it again (%%backfill with --new, %sequence build as before); keep snapshots longer or tag them",
            where=location,
        ) from None
    try:
        # Iceberg v2 has microseconds only; INT96 is what old Spark and Hive wrote. Fetching ahead pays where a
        # request is far.
        far = _is_far(location, storage)
        return pq.ParquetFile(source, coerce_int96_timestamp_unit="us", pre_buffer=far, **options)
    except (pa.ArrowInvalid, OSError) as exc:
        source.close()
        raise _damaged(location, exc) from exc


def _is_far(location: str, storage: Mapping[str, str]) -> bool:
    return not isinstance(filesystem(location, storage)[0], pa.fs.LocalFileSystem)


def _check_rows(metadata: pq.FileMetaData, file: Mapping[str, Any]) -> None:
    if metadata.num_rows != file["rows"]:
        raise KernelError(
            "stage.rows",
            f"the file holds {metadata.num_rows} rows, planned were {file['rows']}",
            fix="plan the run again",
            where=file["path"],
        )


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
    file: Mapping[str, Any],
    columns: pa.Schema,
    found: Mapping[str, pa.Field],
    names: Names,
    rows: int,
) -> pa.Table:
    arrays = []
    for field in columns:
        if raw is not None and field.name in found:
            source = found[field.name]
            arrays.append(_projected(raw.column(source.name), source, field, names, file["path"]))
        elif field.name in file["constants"]:
            arrays.append(constant(file["constants"][field.name], field.type, rows))
        elif field.nullable:
            arrays.append(pa.chunked_array([pa.nulls(rows, field.type)], field.type))
        else:
            raise KernelError(
                "file.column",
                f"the file has no column {field.name!r}, which must not be null",
                fix="repair the table: a required column is missing in this file",
                where=file["path"],
            )
    # A required column is required of the table, not of what a query makes of it.
    plain = [pa.field(field.name, field.type) for field in columns]
    return pa.table(arrays, schema=pa.schema(plain)) if arrays else _bare(rows)


def _without(table: pa.Table, deleted: Any, groups: Sequence[int], path: str) -> BaseRows:
    _check_deleted(deleted, sum(groups), path)
    live = np.ones(sum(groups), dtype=bool)
    live[deleted] = False
    ends = np.cumsum([0, *groups])
    gone = np.diff(np.searchsorted(deleted, ends))
    positions = np.flatnonzero(live).astype(np.int64)
    return BaseRows(table.take(pa.array(positions)), positions, [rows - int(n) for rows, n in zip(groups, gone)])


def _check_deleted(deleted: Any, rows: int, path: str) -> None:
    if len(deleted) and (deleted[0] < 0 or deleted[-1] >= rows):
        raise KernelError(
            "file.deletes",
            f"a delete names row {int(deleted[-1])} of a file of {rows} rows",
            fix="plan the run again",
            where=path,
        )


def _bare(rows: int) -> pa.Table:
    """A table of so many rows and no columns."""
    return pa.table({"": pa.nulls(rows)}).select([])


def _projected(values: pa.ChunkedArray, have: pa.Field, want: pa.Field, names: Names, path: str) -> pa.ChunkedArray:
    try:
        return project(values, have, want, names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise KernelError(
            "file.type",
            f"the column {want.name!r} is {have.type} in this file and {want.type} in the others: "
            f"{str(exc).splitlines()[0]}",
            fix="write the file again in the type of the others",
            where=path,
        ) from None
