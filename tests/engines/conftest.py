from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, MonthTransform
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from tests.engines.cases import DELETED, EVENTS, HARD, SKEWED
from tests.fixtures.deletes import add_equality_deletes, add_position_deletes
from tests.fixtures.engines import EngineLab, SharedHost, ray_cluster, shared_host
from tests.fixtures.lakehouse import START, Lake, lake, small_rows

__all__ = ["lake", "ray_cluster", "shared_host"]

_HARD = {
    "id": (LongType(), pa.int64()),
    "customer": (LongType(), pa.int64()),
    "ts": (TimestamptzType(), pa.timestamp("us", tz="UTC")),
    "d": (DateType(), pa.date32()),
    "n": (DecimalType(9, 2), pa.decimal128(9, 2)),
    "f": (DoubleType(), pa.float64()),
    "s": (StringType(), pa.string()),
    "wall": (TimestampType(), pa.timestamp("us")),
}
_FLOATS = [math.nan, -0.0, 0.0, math.inf, -math.inf, None, 1.5, 1e-300, 1e300]
_TEXTS = ["", "naïve", None, "x", "Ünïcode ✓", " padded "]


def hard_rows(count: int) -> pa.Table:
    """Rows over two months with NaN, both zeros, infinities, nulls, decimals, odd text and moments."""
    moments = [START + dt.timedelta(hours=31 * n, microseconds=n) for n in range(count)]
    columns = {
        "id": list(range(count)),
        "customer": [n % 5 for n in range(count)],
        "ts": [moment.replace(month=1 + n % 2, day=1 + n % 28) for n, moment in enumerate(moments)],
        "d": [None if n % 11 == 0 else dt.date(1969, 12, 30) + dt.timedelta(days=n) for n in range(count)],
        "n": [None if n % 7 == 0 else decimal.Decimal(n * n - 300) / 100 for n in range(count)],
        "f": [_FLOATS[n % len(_FLOATS)] for n in range(count)],
        "s": [_TEXTS[n % len(_TEXTS)] for n in range(count)],
        "wall": [None if n % 13 == 0 else moment.replace(tzinfo=None) for n, moment in enumerate(moments)],
    }
    return pa.table({name: pa.array(values, _HARD[name][1]) for name, values in columns.items()})


def make_hard(lake: Lake) -> None:
    """`eng.hard`: by month and bucket of the key, several row groups a file."""
    lake.catalog.create_namespace_if_not_exists("eng")
    fields = [NestedField(n, name, kind, required=False) for n, (name, (kind, _)) in enumerate(_HARD.items(), 1)]
    table = lake.catalog.create_table(
        HARD,
        Schema(*fields),
        partition_spec=PartitionSpec(
            PartitionField(3, 1000, MonthTransform(), "month"), PartitionField(1, 1001, BucketTransform(2), "bucket")
        ),
        properties={"format-version": "2", "write.parquet.row-group-limit": "16"},
    )
    table.append(hard_rows(90))


def make_skewed(lake: Lake) -> None:
    """`eng.skewed`: not partitioned, two files, nine rows in ten of one customer; and `eng.events`."""
    count = 2000
    columns = {
        "id": pa.array(range(count), pa.int64()),
        "customer": pa.array([0 if n % 10 else n % 7 for n in range(count)], pa.int64()),
        "ts": pa.array([START + dt.timedelta(minutes=n) for n in range(count)], pa.timestamp("us", tz="UTC")),
    }
    rows = pa.table(columns)
    table = lake.make(SKEWED, rows.slice(0, 0), partitioned=False)
    table.append(rows.slice(0, 1500))
    table.append(rows.slice(1500))
    events = {
        "customer": pa.array([n % 9 for n in range(300)], pa.int64()),
        "at": pa.array([START + dt.timedelta(minutes=17 * n) for n in range(300)], pa.timestamp("us", tz="UTC")),
        "amount": pa.array([None if n % 19 == 0 else n / 8 for n in range(300)], pa.float64()),
    }
    lake.make(EVENTS, pa.table(events))


def make_deleted(lake: Lake) -> None:
    """`eng.deleted`: position deletes on one file, and equality deletes over all."""
    table = lake.make(DELETED, small_rows(60))
    path = min(task.file.file_path for task in table.scan().plan_files())
    add_position_deletes(table, path, [0, 2, 5])
    add_equality_deletes(lake.table(DELETED), ["id"], [{"id": 7}, {"id": 8}, {"id": 31}])


@pytest.fixture(scope="package")
def lab(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_host: Callable[[], SharedHost],
) -> Iterator[EngineLab]:
    """The lake of all cases."""
    lake = Lake(tmp_path_factory.mktemp("engines") / "home", **{"limits.unit_attempts": 1})
    make_hard(lake)
    make_skewed(lake)
    make_deleted(lake)
    yield EngineLab(lake, shared_host, lambda: request.getfixturevalue("ray_cluster"))
    lake.close()


@pytest.fixture(scope="package")
def demo_lab(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_host: Callable[[], SharedHost],
) -> Iterator[EngineLab]:
    """The retail demo."""
    lake = Lake(tmp_path_factory.mktemp("engines-demo") / "home")
    lake.platform.load_demo()
    yield EngineLab(lake, shared_host, lambda: request.getfixturevalue("ray_cluster"))
    lake.close()
