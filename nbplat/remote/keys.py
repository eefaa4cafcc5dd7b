"""Whether key columns identify a row over many files, in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .align import DOUBLED_KEYS, OTHER_KEYS, check_unique, refuse_nulls
from .codes import as_integers, unique_integers
from .duck import duckdb_errors, open_database, quoted, with_tables
from .project import Names
from .read import read_live
from .task import FileTask
from .whole import refuse_doubled

__all__ = ["BYTES_A_KEY", "check_keys"]

BYTES_A_KEY = 24
"""Memory that comparing takes a row: a number, its sorted copy, and what sorting takes."""

_TABLE, _PART = "nb__keys", "nb__part"


def check_keys(
    files: Sequence[FileTask],
    columns: pa.Schema,
    names: Names,
    storage: Mapping[str, str],
    settings: Mapping[str, Any],
) -> int:
    """Read the key columns of some files and return the live rows, when no key is null or there twice.

    Args:
        columns: The key columns, with field ids.
        settings: ``threads``, ``memory_bytes`` and ``spill_folder``: one number a row is compared in
            memory where it fits, all else in a database that spills.

    Raises:
        KernelError: ``key.duplicate`` or ``key.null``, naming values; what reading breaks.
    """
    parts = (read_live(file, columns, names, storage).table for file in files)
    rows = sum(file["rows"] for file in files)
    if len(columns) == 1 and rows * BYTES_A_KEY <= settings["memory_bytes"] // 2:
        kind = columns.field(0).type
        if as_integers(pa.chunked_array([pa.array([], kind)])) is not None:
            return _in_memory(parts, columns.names[0], kind)
    return _in_database(parts, columns.names, settings)


def _in_memory(parts: Iterable[pa.Table], key: str, kind: pa.DataType) -> int:
    numbers: list[Any] = []
    for part in parts:
        refuse_nulls(part, part.column_names, OTHER_KEYS)
        numbers.append(as_integers(part[key]))
    values = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
    if not unique_integers(values):
        shown, counts = np.unique(values, return_counts=True)
        doubled = pa.array(np.repeat(shown[counts > 1], 2)).cast(pa.int64())
        width = pa.int64() if kind.bit_width == 64 else pa.int32()
        table = pa.table({key: doubled.cast(width).view(kind) if pa.types.is_temporal(kind) else doubled.cast(kind)})
        check_unique(table, [key], "key.duplicate", DOUBLED_KEYS, OTHER_KEYS)
    return len(values)


def _in_database(parts: Iterable[pa.Table], keys: list[str], settings: Mapping[str, Any]) -> int:
    rows = 0
    with contextlib.closing(open_database(settings)) as database, duckdb_errors(of_body=False):
        made = False
        for part in parts:
            refuse_nulls(part, part.column_names, OTHER_KEYS)
            rows += part.num_rows
            with with_tables(database, {_PART: part}):
                how = f"INSERT INTO {_TABLE}" if made else f"CREATE TABLE {_TABLE} AS"
                database.execute(f"{how} SELECT {', '.join(quoted(keys))} FROM {_PART}")
            made = True
        if made:
            refuse_doubled(database, _TABLE, keys, "key.duplicate", DOUBLED_KEYS, OTHER_KEYS)
    return rows
