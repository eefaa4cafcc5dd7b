"""The local repartition: staged rows dealt by their keys to files on this machine, for tables that share no bucket."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.codes import key_numbers
from nbplat.remote.read import live_chunks

from .task import JoinFile

__all__ = ["deal", "dealt_part", "part_of", "parts_in"]

_CHUNK_ROWS = 1 << 18
_SETTINGS = {"threads": 1, "memory_bytes": 256 << 20, "spill_folder": None}
# An odd constant whose product spreads neighbouring integers over the high bits (Knuth, multiplicative hashing).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def deal(
    files: Sequence[JoinFile],
    columns: bytes,
    names: Mapping[int, Sequence[str]],
    storage: Mapping[str, str],
    keys: Sequence[str],
    folder: str,
    parts: int,
) -> int:
    """Write the rows of all files to ``<folder>/<part>.arrow``, each row to the part of its key.

    Args:
        columns: Serialized Arrow schema of what is read.
        folder: Must be there, and empty.
        parts: How many; one of them must fit in memory.

    Returns:
        Bytes written.

    Raises:
        KernelError: what reading breaks.
    """
    schema = pa.ipc.read_schema(pa.py_buffer(columns))
    plain = pa.schema([pa.field(field.name, field.type) for field in schema])
    with contextlib.ExitStack() as held:
        sinks = [held.enter_context(pa.OSFile(str(Path(folder) / f"{part}.arrow"), "wb")) for part in range(parts)]
        writers = [held.enter_context(pa.ipc.new_file(sink, plain)) for sink in sinks]
        for file in files:
            for table in live_chunks(file, schema, names, storage, _CHUNK_ROWS):
                place = part_of(table, keys, parts)
                order = np.argsort(place, kind="stable")
                ends = np.searchsorted(place[order], np.arange(parts + 1))
                dealt = table.take(pa.array(order))
                for part in np.flatnonzero(np.diff(ends)):
                    writers[part].write_table(dealt.slice(ends[part], ends[part + 1] - ends[part]))
    return sum(path.stat().st_size for path in Path(folder).glob("*.arrow"))


def part_of(table: pa.Table, keys: Sequence[str], parts: int) -> Any:
    """The part of each row, ``int64[rows]``; the same for equal keys, whatever their names and widths are."""
    columns = [_plain(table[key]) for key in keys]
    numbers = key_numbers(pa.table(columns, names=[f"k{at}" for at in range(len(columns))]), _SETTINGS)
    spread = numbers.astype(np.int64).view(np.uint64) * _SPREAD
    return ((spread >> np.uint64(33)) % np.uint64(parts)).astype(np.int64)


def parts_in(folder: str) -> int:
    """How many parts were dealt there."""
    return sum(1 for _ in Path(folder).glob("*.arrow"))


def dealt_part(folder: str, part: int) -> pa.Table:
    """The rows of one part, mapped into memory."""
    with pa.memory_map(str(Path(folder) / f"{part}.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The key without nulls, which meet nothing anyway, in the widest form of its class."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if pa.types.is_integer(kind):
        column, kind = column.cast(pa.int64()), pa.int64()
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.decimal128(38, kind.scale))
    elif pa.types.is_floating(kind):
        values = column.fill_null(0).to_numpy() + 0.0
        column = pa.chunked_array([pa.array(np.where(np.isnan(values), 0.0, values).astype(np.float64))])
    if not column.null_count:
        return column
    # Any value does: rows with a null in a key are left out where they are matched.
    first = column.drop_null()
    filler = first[0] if len(first) else None
    return column.fill_null(filler) if filler is not None else pa.chunked_array([pa.array([0] * len(column))])
