"""The kernel's reader gives what pyiceberg's gives, file by file, and opens each footer once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from nbplat.adapters.iceberg.tables import IcebergTables
from nbplat.backfill.tasks import file_task
from nbplat.remote.failure import KernelError
from nbplat.remote.read import BaseRows, read_live
from nbplat.terms import TableName
from tests.fixtures.add_files import add_files_table, hive_table
from tests.fixtures.deletes import add_deletion_vector, add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import ORDERS, Lake

PLACE = StructType(NestedField(20, "lat", FloatType()), NestedField(21, "city", StringType()))
EVERY = Schema(
    NestedField(1, "id", LongType()),
    NestedField(2, "small", IntegerType()),
    NestedField(3, "ratio", FloatType()),
    NestedField(4, "price", DecimalType(9, 2)),
    NestedField(5, "name", StringType()),
    NestedField(6, "day", DateType()),
    NestedField(7, "at", TimestamptzType()),
    NestedField(8, "local", TimestampType()),
    NestedField(9, "clock", TimeType()),
    NestedField(10, "raw", BinaryType()),
    NestedField(11, "code", FixedType(3)),
    NestedField(12, "uid", UUIDType()),
    NestedField(13, "flag", BooleanType()),
    NestedField(14, "place", PLACE),
    NestedField(15, "counts", ListType(22, IntegerType(), element_required=False)),
    NestedField(16, "places", ListType(23, PLACE, element_required=False)),
    NestedField(17, "marks", MapType(24, StringType(), 25, IntegerType(), value_required=False)),
)


def rows(first: int, count: int) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for n in range(first, first + count):
        place = None if n % 3 == 0 else {"lat": n / 2, "city": None if n % 4 == 0 else f"c{n}"}
        row: dict[str, object] = {
            "id": n,
            "small": n,
            "ratio": n / 4,
            "price": Decimal(n) / 4,
            "name": f"n{n}",
            "day": dt.date(2024, 1, 1) + dt.timedelta(days=n),
            "at": dt.datetime(2024, 1, 1, n % 24, tzinfo=dt.UTC),
            "local": dt.datetime(2024, 1, 1, n % 24),  # noqa: DTZ001 - without a zone
            "clock": dt.time(n % 24),
            "raw": bytes([n]),
            "code": bytes([n] * 3),
            "uid": uuid.UUID(int=n).bytes,
            "flag": n % 2 == 0,
            "place": place,
            "counts": None if n % 5 == 0 else list(range(n % 3)),
            "places": [place] * (n % 3),
            "marks": {} if n % 2 else {"a": n, "b": None},
        }
        made.append({name: None if name != "id" and n % 7 == 6 else value for name, value in row.items()})
    return made


@pytest.fixture
def evolved(lake: Lake) -> str:
    """Every type, before and after renames, promotions, and columns added and dropped at both levels."""
    table = lake.catalog.create_table("shop.every", EVERY, properties={"format-version": "2"})
    table.append(pa.Table.from_pylist(rows(0, 20), schema_to_pyarrow(table.schema())))
    with table.update_schema() as update:
        update.rename_column("name", "label")
        update.rename_column("place.city", "town")
        update.update_column("small", LongType())
        update.update_column("ratio", DoubleType())
        update.update_column("price", DecimalType(14, 2))
        update.update_column("counts.element", LongType())
        update.update_column("place.lat", DoubleType())
        update.add_column("new", LongType())
        update.add_column(("place", "zip"), StringType())
        update.delete_column("flag")
    table.append(table.scan().to_arrow().slice(3, 9))
    return "shop.every"


def both(tables: IcebergTables, name: str, columns: Sequence[str] | None = None) -> list[tuple[pa.Table, BaseRows]]:
    """Per data file what pyiceberg reads and what the kernel reads."""
    facts = tables.describe(TableName.parse(name))
    wanted = list(columns or (column.name for column in facts.columns))
    schema, names = tables.schema(facts.pin, wanted), tables.names(facts.pin)
    return [
        (tables.read(facts.pin, wanted, paths=[read.path]), read_live(file_task(read), schema, names, {}))
        for read in tables.reads(facts.pin)
    ]


def same(expected: pa.Table, got: BaseRows) -> None:
    assert expected.column_names == got.table.column_names
    for name in expected.column_names:
        assert expected[name].to_pylist() == got.table[name].to_pylist(), name
    assert sum(got.groups) == got.table.num_rows


def test_evolved_schemas_read_by_field_id(lake: Lake, evolved: str) -> None:
    """Renamed, promoted, added and dropped columns, nested ones too, have the values and types of the table."""
    pairs = both(IcebergTables(lake.catalog), evolved)
    assert [20, 9] == sorted((expected.num_rows for expected, _ in pairs), reverse=True)
    for expected, got in pairs:
        same(expected, got)
        assert pa.decimal128(14, 2) == got.table.schema.field("price").type
        assert pa.list_(pa.int64()) == got.table.schema.field("counts").type
        assert pa.float64() == got.table.schema.field("place").type.field("lat").type


def test_any_columns_in_any_order(lake: Lake, evolved: str) -> None:
    """Columns come as they are asked for, also those that no file holds."""
    tables = IcebergTables(lake.catalog)
    for columns in (["uid", "id"], ["new"], ["places", "label"]):
        for expected, got in both(tables, evolved, columns):
            same(expected, got)


def test_deleted_rows_are_left_out(lake: Lake) -> None:
    """Position deletes, a vector and equality deletes: the rows that are left, with their physical positions."""
    tables = IcebergTables(lake.catalog)
    paths = [read.path for read in tables.reads(tables.describe(TableName.parse(ORDERS)).pin)]
    add_position_deletes(lake.table(), paths[0], [2, 0])
    add_deletion_vector(lake.table(), paths[1], [1])
    everything = pq.read_metadata(paths[2].removeprefix("file://")).num_rows
    add_position_deletes(lake.table(), paths[2], list(range(everything)))
    add_equality_deletes(lake.table(), ["customer"], [{"customer": 3}])
    pairs = both(IcebergTables(lake.catalog), ORDERS)
    for expected, got in pairs:
        same(expected, got)
    assert [False] * 6 == [3 in got.table["customer"].to_pylist() for _, got in pairs]
    positions = pairs[0][1].positions
    assert 1 == positions[0]
    assert len(set(positions.tolist()) | {0, 2}) == len(positions) + 2
    assert 0 == pairs[2][1].table.num_rows


def test_files_without_field_ids_read_by_name(lake: Lake, tmp_path: Path) -> None:
    """What add_files took in is found by the names that the mapping gives, also after a rename."""
    table = add_files_table(lake.catalog, "shop.taken", tmp_path / "taken")
    with table.update_schema() as update:
        update.rename_column("x", "y")
        update.add_column("new", LongType())
    for expected, got in both(IcebergTables(lake.catalog), "shop.taken"):
        same(expected, got)
        assert [10, 10] == got.groups


def test_a_partition_value_stands_in_for_a_missing_column(lake: Lake, tmp_path: Path) -> None:
    """Files in Hive-style folders hold no partition column: it comes from the manifest."""
    hive_table(lake.catalog, "shop.hive", tmp_path / "hive")
    pairs = both(IcebergTables(lake.catalog), "shop.hive")
    assert 2 == len({got.table["day"][0].as_py() for _, got in pairs})
    for expected, got in pairs:
        same(expected, got)


def test_each_file_is_opened_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """One footer is read per file, whatever is asked of it."""
    tables = IcebergTables(lake.catalog)
    pin = tables.describe(TableName.parse(ORDERS)).pin
    [read, *_] = tables.reads(pin)
    schema = tables.schema(pin, ["id", "ts"])
    opened = []
    real = pq.ParquetFile

    def counted(*args: object, **options: object) -> pq.ParquetFile:
        opened.append(1)
        return real(*args, **options)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    read_live(file_task(read), schema, {}, {})
    assert [1] == opened


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda path: path.unlink(), "file.gone"),
        (lambda path: path.write_bytes(b"PAR1 nothing of the kind PAR1"), "file.damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "file.damaged"),
        (lambda path: pq.write_table(pa.table({"id": [1]}), path), "stage.rows"),
    ],
    ids=["gone", "foreign", "cut off", "another file"],
)
def test_a_file_that_is_not_what_was_planned_is_named(lake: Lake, harm: object, code: str) -> None:
    """Gone, damaged, or with other rows: the error says which file and what to do."""
    tables = IcebergTables(lake.catalog)
    pin = tables.describe(TableName.parse(ORDERS)).pin
    [read, *_] = tables.reads(pin)
    assert callable(harm)
    harm(Path(read.path.removeprefix("file://")))
    with pytest.raises(KernelError) as caught:
        read_live(file_task(read), tables.schema(pin, ["id"]), {}, {})
    assert (code, read.path, True) == (caught.value.code, caught.value.where, bool(caught.value.fix))


def test_a_delete_beyond_the_file_is_refused(lake: Lake) -> None:
    """Positions that the file has not are an error, not rows of another file."""
    tables = IcebergTables(lake.catalog)
    pin = tables.describe(TableName.parse(ORDERS)).pin
    [read, *_] = tables.reads(pin)
    task = {**file_task(read), "deleted": (10**6).to_bytes(8, "little")}
    with pytest.raises(KernelError) as caught:
        read_live(task, tables.schema(pin, ["id"]), {}, {})  # type: ignore[arg-type]
    assert "file.deletes" == caught.value.code
