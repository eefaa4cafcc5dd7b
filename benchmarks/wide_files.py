"""Wide Parquet files to splice, and an Iceberg table of many files that exist in its manifests only."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = [
    "FIELD_ID",
    "Pair",
    "copy_files",
    "decode_join_encode",
    "duckdb_join_copy",
    "listed_table",
    "make_pairs",
    "wide_rows",
    "wide_table",
]

FIELD_ID = 10_000
"""Field id of the column ``feature`` that the staged files add."""

_COPY_BYTES = 1 << 30
_GROUP_ROWS = 1 << 20
"""What pyiceberg writes; Iceberg's own writers cut by bytes and come to about the same."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A base file and the staged file beside it: same rows, same order.

    Attributes:
        embedding: True when the feature is a list.
    """

    base: Path
    staged: Path
    embedding: bool = False


def wide_rows(rows: int, columns: int) -> pa.Table:
    """A shuffled key ``id`` and `columns` float columns, with field ids from 1.

    Values have three decimals: pure noise would flatter nobody, it cannot be compressed.
    """
    rng = np.random.default_rng(7)
    floats = [pa.array(np.round(rng.normal(size=rows), 3).astype(np.float32)) for _ in range(columns)]
    keys = pa.array(rng.permutation(rows), pa.int64())
    return _with_field_ids(["id", *(f"f{n:03d}" for n in range(columns))], [keys, *floats], first=1)


def make_pairs(folder: Path, *, files: int, rows: int, columns: int, embedding: int = 0) -> list[Pair]:
    """Files of `wide_rows`, zstd as Iceberg writes them, with a staged ``feature``; one is made, the others are copies.

    Args:
        embedding: Length of the feature's vectors of floats; 0 makes it one double.
    """
    base = wide_rows(rows, columns)
    rng = np.random.default_rng(11)
    if embedding:
        values = pa.array(np.round(rng.normal(size=rows * embedding), 3).astype(np.float32))
        feature = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * embedding, pa.int32()), values)
    else:
        feature = pa.array(rng.normal(size=rows))
    staged = _with_field_ids(["id", "feature"], [base["id"].combine_chunks(), feature], first=1)
    pq.write_table(base, folder / "base-0.parquet", compression="zstd", row_group_size=_GROUP_ROWS)
    pq.write_table(staged, folder / "staged-0.parquet", compression="zstd", row_group_size=_GROUP_ROWS)
    for number in range(1, files):
        for kind in ("base", "staged"):
            shutil.copyfile(folder / f"{kind}-0.parquet", folder / f"{kind}-{number}.parquet")
    os.sync()
    return [Pair(folder / f"base-{n}.parquet", folder / f"staged-{n}.parquet", embedding > 0) for n in range(files)]


def copy_files(pairs: list[Pair], out: Path) -> None:
    """The floor: the same bytes to new files on disk, copied in the kernel, each synced as a splice is."""
    for pair in pairs:
        target = out / pair.base.name
        target.unlink(missing_ok=True)
        with pair.base.open("rb") as source, target.open("xb") as sink:
            left = pair.base.stat().st_size
            while left:
                moved = (
                    os.copy_file_range(source.fileno(), sink.fileno(), min(left, _COPY_BYTES))
                    if hasattr(os, "copy_file_range")
                    else sink.write(source.read(min(left, 8 << 20)))
                )
                left -= moved
            sink.flush()
            os.fsync(sink.fileno())


def decode_join_encode(pairs: list[Pair], out: Path) -> None:
    """The peer: what a rewrite does. Decode, join by key, encode; Arrow, all cores, the same codec."""
    for pair in pairs:
        base = pq.read_table(pair.base)
        staged = pq.read_table(pair.staged)
        at = pc.index_in(base["id"].combine_chunks(), value_set=staged["id"].combine_chunks())
        joined = base.append_column("feature", staged["feature"].take(at))
        target = out / pair.base.name
        with target.open("wb") as sink:
            pq.write_table(joined, sink, compression="zstd", row_group_size=_GROUP_ROWS)
            sink.flush()
            os.fsync(sink.fileno())


def duckdb_join_copy(pairs: list[Pair], out: Path) -> None:
    """The peer: join by key and ``COPY`` in DuckDB, all cores, the same codec."""
    import duckdb

    for pair in pairs:
        target = out / pair.base.name
        target.unlink(missing_ok=True)
        with duckdb.connect() as db:
            db.execute(
                f"COPY (SELECT b.*, s.feature FROM '{pair.base}' b LEFT JOIN '{pair.staged}' s USING (id)) "
                f"TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP_ROWS})"
            )


def wide_table(catalog: Any, *, files: int, rows: int, columns: int) -> Any:
    """`wide.train`: an Iceberg table of `wide_rows`, unpartitioned, of so many files with so many rows each."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    everything = wide_rows(files * rows, columns)
    catalog.create_namespace_if_not_exists("wide")
    table = catalog.create_table(
        "wide.train", pyarrow_to_schema(everything.schema), properties={"write.parquet.compression-codec": "zstd"}
    )
    for number in range(files):
        table.append(everything.slice(number * rows, rows))
    return catalog.load_table("wide.train")


def listed_table(catalog: Any, name: str, *, files: int, columns: int) -> None:
    """A table by month and bucket whose manifests list `files` data files with full metrics; none of them exists."""
    from pyiceberg.conversions import to_bytes
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import BucketTransform, MonthTransform
    from pyiceberg.typedef import Record
    from pyiceberg.types import DoubleType, LongType, NestedField, TimestamptzType

    fields = [NestedField(1, "id", LongType()), NestedField(2, "at", TimestamptzType())]
    fields += [NestedField(3 + n, f"f{n:03d}", DoubleType()) for n in range(columns)]
    spec = PartitionSpec(
        PartitionField(2, 1000, MonthTransform(), "at_month"),
        PartitionField(1, 1001, BucketTransform(100), "id_bucket"),
    )
    catalog.create_namespace_if_not_exists(name.split(".")[0])
    table = catalog.create_table(name, Schema(*fields), partition_spec=spec, properties={"format-version": "2"})
    ids = [field.field_id for field in fields]
    low = {1: to_bytes(LongType(), 0), 2: to_bytes(LongType(), 0)}
    low |= {n: to_bytes(DoubleType(), -1.0) for n in ids[2:]}
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        for number in range(files):
            file = DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=f"{table.location()}/data/{number:06d}-0-00000000-0000-0000-0000-000000000000.parquet",
                file_format=FileFormat.PARQUET,
                partition=Record(number // 100, number % 100),
                record_count=100_000,
                file_size_in_bytes=64 << 20,
                column_sizes=dict.fromkeys(ids, 600_000),
                value_counts=dict.fromkeys(ids, 100_000),
                null_value_counts=dict.fromkeys(ids, 0),
                nan_value_counts={},
                lower_bounds=low,
                upper_bounds=low,
                split_offsets=[4],
                sort_order_id=None,
                equality_ids=None,
                key_metadata=None,
            )
            file.spec_id = 0
            append.append_data_file(file)


def _with_field_ids(names: list[str], arrays: list[pa.Array], *, first: int) -> pa.Table:
    fields = [
        pa.field(name, array.type, metadata={"PARQUET:field_id": str(number)})
        for number, (name, array) in enumerate(zip(names, arrays, strict=True), first)
    ]
    return pa.table(arrays, schema=pa.schema(fields))
