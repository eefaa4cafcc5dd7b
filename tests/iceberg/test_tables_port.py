"""The tables port over real tables: live rows, what reading a file takes, what main holds now, what is refused."""

from __future__ import annotations

import datetime as dt
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType

from nbplat.adapters.iceberg.tables import IcebergTables
from nbplat.backfill.ports import FileRead
from nbplat.errors import Conflict, SetupError
from nbplat.terms import SnapshotPin, TableName, Window, local_path
from tests.fixtures.add_files import add_files_table, hive_table
from tests.fixtures.deletes import (
    add_deletion_vector,
    add_equality_deletes,
    add_position_deletes,
    commit_files,
    data_file,
)
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows


def pinned(lake: Lake, name: str = ORDERS) -> tuple[IcebergTables, SnapshotPin]:
    tables = IcebergTables(lake.catalog)
    return tables, tables.describe(TableName.parse(name)).pin


def ids(table: pa.Table) -> list[int]:
    return table["id"].to_pylist()


def by_hand(read: FileRead, column: str) -> list[object]:
    """The column as a reader that knows only the `FileRead` sees it."""
    rows = pq.read_table(local_path(read.path), partitioning=None)
    values = rows[column].to_pylist() if column in rows.column_names else [read.constants[column]] * read.rows
    assert read.rows == len(values)
    gone = set(np.frombuffer(read.deleted, "<i8").tolist())
    return [value for position, value in enumerate(values) if position not in gone]


def with_deletes(lake: Lake) -> list[str]:
    """One file with position deletes, one with a vector, and a global equality delete; returns the paths."""
    tables, pin = pinned(lake)
    paths = [file.path for file in tables.files(pin)]
    add_position_deletes(lake.table(), paths[0], [2, 0])
    add_deletion_vector(lake.table(), paths[1], [1])
    add_equality_deletes(lake.table(), ["customer", "x"], [{"customer": 1, "x": None}, {"customer": 2, "x": 1.0}])
    return paths


def test_live_rows_have_every_delete_applied(lake: Lake) -> None:
    """Reading a pin gives the rows that are left, in file and row order; an older pin still gives all."""
    old_tables, old = pinned(lake)
    before = {file.path: ids(old_tables.read(old, ["id"], paths=[file.path])) for file in old_tables.files(old)}
    paths = with_deletes(lake)
    lake.table().append(small_rows(3))
    tables, pin = pinned(lake)

    left = {path: ids(tables.read(pin, ["id"], paths=[path])) for path in paths}

    equal = {15, 50, 2}  # customer 1 with a null x: 15 and 50; customer 2 with x 1.0: 2
    assert [n for n in before[paths[0]][1:] if n != before[paths[0]][2] and n not in equal] == left[paths[0]]
    assert [n for n in before[paths[1]] if n != before[paths[1]][1] and n not in equal] == left[paths[1]]
    assert all([n for n in before[path] if n not in equal] == left[path] for path in paths[2:])
    assert sorted([*chain.from_iterable(left.values()), 0, 1, 2]) == sorted(ids(tables.read(pin, ["id"])))
    assert list(chain.from_iterable(before.values())) == ids(old_tables.read(old, ["id"]))


def test_what_a_file_read_says_gives_the_same_rows(lake: Lake) -> None:
    """Physical rows less the deleted positions of `reads` are the rows of `read`, for every file."""
    paths = with_deletes(lake)
    tables, pin = pinned(lake)

    reads = tables.reads(pin, paths)

    assert paths == [read.path for read in reads]
    assert [by_hand(read, "id") for read in reads] == [ids(tables.read(pin, ["id"], paths=[path])) for path in paths]
    assert [{}] * 6 == [read.constants for read in reads]


def test_a_file_that_is_not_of_the_pin_is_refused(lake: Lake) -> None:
    """Asking for a file the snapshot does not have is a conflict that names it."""
    tables, pin = pinned(lake)

    with pytest.raises(Conflict, match=r"file\.unknown.*nowhere"):
        tables.reads(pin, ["file:///nowhere.parquet"])


def test_the_listing_counts_deletes_of_every_kind(lake: Lake) -> None:
    """Planned files say how many delete files apply, also under a window."""
    paths = with_deletes(lake)
    tables, pin = pinned(lake)
    window = Window.parse("2024-02-01", None)

    files = {file.path: file.deletes for file in tables.files(pin)}
    inside = {file.path: file.deletes for file in tables.files(pin, time_column="ts", window=window)}

    assert [2, 2, 1, 1, 1, 1] == [files[path] for path in paths]
    assert {path: count for path, count in files.items() if "2024-01" not in path} == inside


def test_a_window_on_a_renamed_column_prunes_by_the_pins_name(lake: Lake) -> None:
    """A pin keeps its own column names after the table renamed them."""
    tables, pin = pinned(lake)
    with lake.table().update_schema() as update:
        update.rename_column("ts", "at")

    files = tables.files(pin, time_column="ts", window=Window.parse("2024-03-01", None))

    assert 2 == len(files)


def test_main_now_says_which_columns_have_values(lake: Lake) -> None:
    """The live listing has sequence numbers, partitions, deletes, and the fields that are not all null."""
    with lake.table().update_schema() as update:
        update.add_column("late", LongType())
    late = small_rows(4).append_column("late", pa.array([None, 1, None, None], pa.int64()))
    lake.table().append(late)
    add_equality_deletes(lake.table(), ["id"], [{"id": 1}])
    tables, _ = pinned(lake)

    live = tables.live(TableName.parse(ORDERS))

    assert lake.table().metadata.current_snapshot_id == live.pin.snapshot_id
    assert [file.path for file in live.files] == sorted(file.path for file in live.files)
    first = [file for file in live.files if file.sequence_number == 1]
    assert 60 == sum(file.rows for file in first)
    assert [(0, 1)] * 6 == [(file.spec_id, file.deletes) for file in first]
    assert {frozenset({1, 2, 3, 4, 5})} == {file.filled for file in first}
    added = [file for file in live.files if file.sequence_number == 2]
    assert 4 == sum(file.rows for file in added)
    assert 1 == sum(6 in (file.filled or ()) for file in added)
    assert "month=2024-01, bucket=0" == live.files[0].partition


def test_files_without_field_ids_read_right(lake: Lake, tmp_path: Path) -> None:
    """A table made by add_files reads by its name mapping, with deletes, and says the names by field id."""
    table = add_files_table(lake.catalog, "shop.taken", tmp_path / "taken")
    paths = sorted(task.file.file_path for task in table.scan().plan_files())
    table = add_position_deletes(table, paths[0], [3])
    add_equality_deletes(table, ["tag"], [{"tag": "t1"}])
    tables, pin = pinned(lake, "shop.taken")

    expected = [n for n in range(40) if n != 3 and n % 3 != 1]
    assert expected == ids(tables.read(pin, ["id"]))
    assert expected == [value for read in tables.reads(pin, paths) for value in by_hand(read, "id")]
    assert {1: ("id",), 2: ("day",), 3: ("x",), 4: ("tag",)} == tables.names(pin)


def test_names_follow_the_mapping_after_a_rename(lake: Lake, tmp_path: Path) -> None:
    """A renamed column is still found under its old name in files without ids."""
    table = add_files_table(lake.catalog, "shop.taken", tmp_path / "taken")
    with table.update_schema() as update:
        update.rename_column("x", "y")
    tables, pin = pinned(lake, "shop.taken")

    assert {"x", "y"} == set(tables.names(pin)[3])
    assert [None, 0.5, 1.0] == tables.read(pin, ["y"])["y"].to_pylist()[:3]


def test_partition_values_stand_in_for_a_column_that_files_lack(lake: Lake, tmp_path: Path) -> None:
    """Hive-style files get their partition column from the manifest, for reading and for equality deletes."""
    table = hive_table(lake.catalog, "shop.hive", tmp_path / "hive")
    days = [dt.date(2024, 3, 18), dt.date(2024, 3, 19)]
    add_equality_deletes(table, ["day", "tag"], [{"day": days[1], "tag": "t1"}])
    tables, pin = pinned(lake, "shop.hive")
    paths = [file.path for file in tables.files(pin)]

    reads = tables.reads(pin, paths)

    left = [n for n in range(40) if n < 20 or n % 3 != 1]
    assert left == ids(tables.read(pin, ["id"]))
    assert [days[n // 20] for n in left] == tables.read(pin, ["day"])["day"].to_pylist()
    assert left == [value for read in reads for value in by_hand(read, "id")]
    assert days == [pa.scalar(read.constants["day"], pa.date32()).as_py() for read in reads]


def test_two_partition_specs_read_right(lake: Lake) -> None:
    """Files of an older spec keep it: partitions in words, spec id and scoped deletes are those of their own."""
    with lake.table().update_spec() as update:
        update.remove_field("bucket")
        update.add_field("tag", IdentityTransform(), "tag")
    lake.table().append(small_rows(60))
    tables, pin = pinned(lake)
    files = tables.files(pin)
    newer = next(file for file in files if file.spec_id == 1 and "tag=t2" in file.partition)
    table = add_equality_deletes(lake.table(), ["customer"], [{"customer": 0}], partition=newer.path)
    older = next(file for file in files if file.spec_id == 0)
    add_position_deletes(table, older.path, [0])
    tables, pin = pinned(lake)

    after = {file.path: file for file in tables.files(pin)}

    assert {0: 6, 1: 12} == {spec: sum(file.spec_id == spec for file in after.values()) for spec in (0, 1)}
    assert {newer.path, older.path} == {path for path, file in after.items() if file.deletes}
    assert "month=2024-01, bucket=0" == after[older.path].partition
    month = int(newer.partition[len("month=2024-") :][:2])
    gone = [n for n in range(60) if n % 7 == 0 and n % 4 == 2 and 1 + n % 3 == month]
    assert gone
    gone.append(int(pq.read_table(local_path(older.path), columns=["id"], partitioning=None)["id"][0].as_py()))
    assert sorted([*range(60), *range(60)]) == sorted([*ids(tables.read(pin, ["id"])), *gone])
    [read] = tables.reads(pin, [newer.path])
    assert {"tag": "t2"} == read.constants
    assert ids(tables.read(pin, ["id"], paths=[newer.path])) == by_hand(read, "id")


def test_a_partition_column_that_was_dropped(lake: Lake) -> None:
    """Files of an old spec whose source column is gone are listed, pruned by other columns, and read."""
    with lake.table().update_spec() as update:
        update.remove_field("bucket")
        update.add_identity("tag")
    lake.table().append(small_rows(60))
    with lake.table().update_spec() as update:
        update.remove_field("tag")
    with lake.table().update_schema() as update:
        update.delete_column("tag")
    add_equality_deletes(lake.table(), ["id"], [{"id": 4}])
    tables, pin = pinned(lake)

    files = tables.files(pin, time_column="ts", window=Window.parse("2024-03-01", None))

    left = sorted(chain.from_iterable(ids(tables.read(pin, ["id"], paths=[file.path])) for file in files))
    assert sorted([n for n in range(60) if n % 3 == 2] * 2) == left
    assert {"month=2024-03, tag=t2", "month=2024-03, bucket=0"} <= {file.partition for file in files}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"file_format": "ORC"}, r"table\.file_format.*ORC files"),
        ({"file_format": "AVRO"}, r"table\.file_format.*AVRO files"),
        ({"key_metadata": b"key"}, r"table\.encrypted"),
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name(lake: Lake, facts: dict[str, object], code: str) -> None:
    """A plan on a table with ORC, Avro or encrypted files is refused, naming one of them, the mend, and no effect."""
    table = lake.table()
    first = next(iter(table.scan().plan_files())).file
    commit_files(table, [data_file_with(table, first.file_path, "strange.bin", facts)])
    before = lake.picture()

    with pytest.raises(SetupError, match=rf"{code}.*strange\.bin"):
        lake.submit("twice", "SELECT id, x * 2 AS twice FROM base", keys=("id",))

    assert before == lake.picture()


def data_file_with(table: Table, like: str, name: str, facts: dict[str, object]) -> DataFile:
    old = data_file(table, like)
    file = DataFile.from_args(
        content=old.content,
        file_path=old.file_path.rsplit("/", 1)[0] + f"/{name}",
        partition=old.partition,
        record_count=1,
        file_size_in_bytes=1,
        **{"file_format": FileFormat.PARQUET, **facts},
    )
    file.spec_id = old.spec_id
    return file
