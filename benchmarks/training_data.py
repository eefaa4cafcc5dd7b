"""Tables for the training join: a wide base, two staged tables, and the same promoted; or metadata alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DateType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
)

from nbplat.adapters.iceberg.catalog import pin_of
from nbplat.remote.write import write_staged
from nbplat.terms import StagedColumns, StagedFile, file_location
from nbplat.training.join import JoinSource

__all__ = ["DAYS", "FIRST", "Made", "aligned_run", "make_tables", "metadata_only"]

DAYS, BUCKETS, EMBEDDING = 4, 16, 16
FLOATS, INTEGERS = 10, 5
FIRST = dt.date(2026, 11, 1)


@dataclass(frozen=True, slots=True)
class Made:
    """Names of the tables; `rows` of the base."""

    base: str
    one: str
    three: str
    promoted: str
    rows: int


def make_tables(catalog: Catalog, rows: int) -> Made:
    """Write 4 days in 16 buckets of ``request_id``, each file sorted by it: a base of 20 columns, promoted of 24."""
    catalog.create_namespace_if_not_exists("ml")
    key = [("request_id", LongType()), ("dt", DateType())]
    base = [
        *key,
        ("user_id", LongType()),
        ("label", IntegerType()),
        *((f"f{n}", DoubleType()) for n in range(FLOATS)),
        *((f"i{n}", IntegerType()) for n in range(INTEGERS)),
        ("emb", ListType(100, FloatType(), element_required=False)),
    ]
    one = [("a_score", DoubleType())]
    three = [("b_ctr", DoubleType()), ("b_cnt", IntegerType()), ("b_age", DoubleType())]
    tables = {
        "ml.base": _create(catalog, "ml.base", base),
        "ml.stg_a": _create(catalog, "ml.stg_a", [*key, *one]),
        "ml.stg_b": _create(catalog, "ml.stg_b", [*key, *three]),
        "ml.promoted": _create(catalog, "ml.promoted", [*base, *one, *three]),
    }
    for whole in _days(rows):
        thin = np.random.default_rng(2).random(whole.num_rows) < 0.95
        kept = pa.array(thin)
        b_columns = [name for name, _ in three]
        nulled = [
            pa.array(whole[name].to_numpy(), mask=~thin) if name in b_columns else whole[name]
            for name in whole.column_names
        ]
        tables["ml.base"].append(whole.select([name for name, _ in base]))
        tables["ml.stg_a"].append(whole.select([name for name, _ in (*key, *one)]))
        tables["ml.stg_b"].append(whole.select([name for name, _ in (*key, *three)]).filter(kept))
        tables["ml.promoted"].append(pa.table(nulled, names=whole.column_names))
    return Made("ml.base", "ml.stg_a", "ml.stg_b", "ml.promoted", rows)


def _create(catalog: Catalog, name: str, fields: list[tuple[str, IcebergType]]) -> Table:
    schema = Schema(*(NestedField(at, field, kind, required=False) for at, (field, kind) in enumerate(fields, 1)))
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "dt"),
        PartitionField(1, 1001, BucketTransform(BUCKETS), "request_id_bucket"),
    )
    return catalog.create_table(name, schema, partition_spec=spec)


def _days(rows: int) -> Iterator[pa.Table]:
    """Each day's rows, sorted by key: numbers that compress a little, as real features do."""
    count = rows // DAYS
    for day in range(DAYS):
        rng = np.random.default_rng([7, day])
        ids = np.sort(rng.choice(count * 20, count, replace=False).astype(np.int64) + day * count * 20)
        columns: dict[str, Any] = {
            "request_id": ids,
            "dt": pa.array(np.full(count, (FIRST - dt.date(1970, 1, 1)).days + day, np.int32)).cast(pa.date32()),
            "user_id": rng.integers(0, count // 5 + 1, count),
            "label": rng.integers(0, 2, count).astype(np.int32),
            **{f"f{n}": rng.normal(size=count).round(4) for n in range(FLOATS)},
            **{f"i{n}": rng.integers(0, 1000, count).astype(np.int32) for n in range(INTEGERS)},
            "emb": pa.ListArray.from_arrays(
                np.arange(0, count * EMBEDDING + 1, EMBEDDING, dtype=np.int32),
                pa.array(rng.normal(size=count * EMBEDDING).astype(np.float32).round(2)),
            ),
            "a_score": rng.normal(size=count).round(4),
            "b_ctr": rng.random(count).round(4),
            "b_cnt": rng.integers(0, 500, count).astype(np.int32),
            "b_age": rng.random(count).round(3),
        }
        yield pa.table(columns)


def aligned_run(
    catalog: Catalog, source: JoinSource, base: str, columns: dict[str, str], folder: Path
) -> StagedColumns:
    """The columns of the promoted table as a run that has staged them, file by file in the base's order.

    Args:
        columns: Name -> Iceberg type.
        folder: Gets the staged files.
    """
    import pyarrow.parquet as pq

    from nbplat.terms import local_path

    pin = pin_of(catalog.load_table(base))
    promoted = {
        tuple(file.partition): file.file_path
        for file in (task.file for task in catalog.load_table("ml.promoted").scan().plan_files())
    }
    files = []
    for number, task in enumerate(catalog.load_table(base).scan().plan_files()):
        path = promoted[tuple(task.file.partition)]
        rows = pq.ParquetFile(local_path(path)).read(columns=["request_id", *columns])
        groups = [
            pq.ParquetFile(local_path(task.file.file_path)).metadata.row_group(at).num_rows
            for at in range(len(task.file.split_offsets or [0]))
        ]
        record = write_staged(
            rows,
            base_path=task.file.file_path,
            out=file_location(folder),
            unit=f"u{number}",
            fence=1,
            positions=None,
            groups=groups,
            digest="",
            storage={},
        )
        files.append(StagedFile(**record))
    return StagedColumns("b@1", pin, tuple(columns.items()), tuple(files), promoted=False, keys=("request_id",))


def metadata_only(catalog: Catalog, name: str, value: str, *, buckets: int, days: int = 1) -> None:
    """A table of so many files of which only the manifests exist: for planning."""
    catalog.create_namespace_if_not_exists(name.split(".")[0])
    schema = Schema(
        NestedField(1, "id", LongType(), required=False),
        NestedField(2, "dt", DateType(), required=False),
        NestedField(3, value, DoubleType(), required=False),
    )
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "dt"), PartitionField(1, 1001, BucketTransform(buckets), "bucket")
    )
    table = catalog.create_table(name, schema, partition_spec=spec)
    first = (FIRST - dt.date(1970, 1, 1)).days
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        for day in range(days):
            for bucket in range(buckets):
                file = DataFile.from_args(
                    content=DataFileContent.DATA,
                    file_path=f"{table.location()}/data/{day}-{bucket}.parquet",
                    file_format=FileFormat.PARQUET,
                    partition=Record(first + day, bucket),
                    record_count=150_000,
                    file_size_in_bytes=14_000_000,
                    column_sizes={1: 500_000, 2: 1_000, 3: 900_000},
                    value_counts=dict.fromkeys((1, 2, 3), 150_000),
                    null_value_counts=dict.fromkeys((1, 2, 3), 0),
                    nan_value_counts={},
                    lower_bounds={1: (bucket).to_bytes(8, "little")},
                    upper_bounds={1: (bucket + 10**9).to_bytes(8, "little")},
                    split_offsets=[4],
                    sort_order_id=None,
                    equality_ids=None,
                    key_metadata=None,
                )
                file.spec_id = table.spec().spec_id
                append.append_data_file(file)
