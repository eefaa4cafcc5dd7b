"""Spill files: rows dealt to buckets, so that a bucket is read without reading the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs

from nbplat.remote.failure import KernelError
from nbplat.remote.storage import filesystem

from .deal import bucket_order
from .tasks import SpillFile

__all__ = ["SpillWriter", "read_bucket", "spill_location", "write_spill", "written_file"]

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def spill_location(out: str, unit: str, fence: int) -> str:
    """Where a unit's spill file goes; unit and fence are in the name, so that tries never meet."""
    return f"{out.rstrip('/')}/{unit}-{fence}.arrow"


class SpillWriter:
    """Collects rows and writes them bucket by bucket whenever so many are held.

    Args:
        sink: An open Arrow file writer.
        hold_bytes: How much to hold before a round is written.
    """

    def __init__(self, sink: pa.ipc.RecordBatchFileWriter, buckets: int, hold_bytes: int) -> None:
        self._sink, self._buckets, self._hold_bytes = sink, buckets, hold_bytes
        self._rows: list[pa.Table] = []
        self._bucket: list[Any] = []
        self._held = 0
        self.rounds = 0
        self.rows = np.zeros(buckets, np.int64)
        self.bytes = np.zeros(buckets, np.int64)

    def take(self, rows: pa.Table, bucket: Any) -> None:
        """Take rows with their buckets, ``int32[rows]``."""
        self._rows.append(rows)
        self._bucket.append(bucket)
        self._held += rows.nbytes
        if self._held >= self._hold_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is held as one round."""
        if not self._rows:
            return
        bucket = np.concatenate(self._bucket)
        order, begins = bucket_order(bucket, self._buckets)
        rows = pa.concat_tables(self._rows)
        self._rows, self._bucket, self._held = [], [], 0
        batch = _one_batch(rows.take(pa.array(order)))
        del rows
        for number, (start, end) in enumerate(zip(begins.tolist(), begins[1:].tolist())):
            mine = batch.slice(start, end - start)
            self._sink.write_batch(mine)
            self.rows[number] += mine.num_rows
            self.bytes[number] += mine.nbytes
        self.rounds += 1


def _one_batch(rows: pa.Table) -> pa.RecordBatch:
    batches = rows.combine_chunks().to_batches()
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=rows.schema)
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def write_spill(
    location: str,
    storage: Mapping[str, str],
    schema: pa.Schema,
    buckets: int,
    hold_bytes: int,
    fill: Callable[[SpillWriter], None],
) -> SpillFile:
    """Write a spill file; it appears whole or not at all.

    Args:
        fill: Puts the rows into the writer.

    Raises:
        KernelError: ``disk.full``.
    """
    with written_file(location, storage) as sink, pa.ipc.new_file(sink, schema, options=_OPTIONS) as arrow:
        writer = SpillWriter(arrow, buckets, hold_bytes)
        fill(writer)
        writer.flush()
    return SpillFile(path=location, rounds=writer.rounds, rows=writer.rows.tolist(), bytes=writer.bytes.tolist())


def read_bucket(
    location: str, storage: Mapping[str, str], bucket: int, buckets: int, rounds: int, *, only: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of one bucket, a record batch a round.

    Args:
        only: Columns to read; None reads all.

    Raises:
        KernelError: ``spill.gone``.
    """
    system, path = filesystem(location, storage)
    try:
        local = isinstance(system, pyarrow.fs.LocalFileSystem)
        source = pa.memory_map(path) if local else system.open_input_file(path)
    except FileNotFoundError:
        raise KernelError(
            "spill.gone",
            "a spill file of this build is gone",
            fix="build again: what is missing is made anew",
            where=location,
            kind="SetupError",
        ) from None
    with source:
        arrow = pa.ipc.open_file(source)
        options = None
        if only is not None:
            places = [arrow.schema.get_field_index(name) for name in only]
            options = pa.ipc.IpcReadOptions(included_fields=places)
            arrow = pa.ipc.open_file(source, options=options)
        for number in range(rounds):
            yield arrow.get_batch(number * buckets + bucket)


@contextmanager
def written_file(location: str, storage: Mapping[str, str]) -> Iterator[Any]:
    """A file to write that appears when the block ends, and does not when the block raises.

    Raises:
        KernelError: ``disk.full``.
    """
    system, path = filesystem(location, storage)
    if not isinstance(system, pyarrow.fs.LocalFileSystem):
        # An object appears whole, when the stream is closed; one that is given up is left to the store's own rules.
        with system.open_output_stream(path) as stream:
            yield stream
        return
    partial = Path(f"{path}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
