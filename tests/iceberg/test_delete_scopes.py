"""Which delete files apply to which data files: the scope rules of the Iceberg spec, on real manifests."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from nbplat.adapters.iceberg.deletes import deleted_positions
from nbplat.adapters.iceberg.live import DeleteKind, LiveFile, live_files
from nbplat.errors import DataError
from nbplat.terms import TableName, local_path
from tests.fixtures.deletes import (
    add_deletion_vector,
    add_equality_deletes,
    add_position_deletes,
    add_shared_position_deletes,
)
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows


def files(table: Table) -> dict[str, LiveFile]:
    return {live.path: live for live in live_files(table, table.current_snapshot())}


def deleted(table: Table) -> dict[str, list[int]]:
    """Deleted positions per data file, files without any left out."""
    found = {path: deleted_positions(table, live).tolist() for path, live in files(table).items()}
    return {path: positions for path, positions in found.items() if positions}


def test_a_table_without_deletes_lists_what_pyiceberg_lists(lake: Lake) -> None:
    """Every data file is live with its data sequence number, in path order, and no delete applies to it."""
    lake.table().append(small_rows(12))
    table = lake.table()

    live = live_files(table, table.current_snapshot())

    assert sorted(task.file.file_path for task in table.scan().plan_files()) == [each.path for each in live]
    assert {1, 2} == {each.sequence_number for each in live}
    assert {()} == {each.deletes for each in live}
    assert table.scan().count() == sum(each.file.record_count for each in live)


def test_a_table_without_a_snapshot_has_no_live_file(lake: Lake) -> None:
    """An empty table lists no file."""
    table = lake.make("shop.empty", small_rows(0))

    assert [] == live_files(table, table.current_snapshot())


def test_position_deletes_of_one_file_apply_to_it_alone(lake: Lake) -> None:
    """A delete file whose path bounds are equal is about that one data file."""
    path = next(iter(files(lake.table())))

    table = add_position_deletes(lake.table(), path, [3, 1])

    assert {path: [1, 3]} == deleted(table)
    assert [path] == [each.path for each in files(table).values() if each.deletes]


@pytest.mark.parametrize("bounds", [True, False])
def test_position_deletes_of_a_partition_apply_to_the_files_they_name(lake: Lake, bounds: bool) -> None:
    """A shared delete file is in scope for its partition, and deletes only in the files it names."""
    lake.table().append(small_rows(60))
    month = [path for path in files(lake.table()) if "month=2024-01" in path and "bucket=0" in path]

    table = add_shared_position_deletes(lake.table(), {month[0]: [0, 2], month[1]: [5]}, bounds=bounds)

    assert {month[0]: [0, 2], month[1]: [5]} == deleted(table)
    assert sorted(month) == sorted(each.path for each in files(table).values() if each.deletes)


def test_position_deletes_of_another_partition_do_not_apply(lake: Lake) -> None:
    """A delete file under another partition than its data file's is out of scope, whatever it names."""
    first, other, *_ = files(lake.table())

    table = add_shared_position_deletes(lake.table(), {first: [0], other: [1]}, bounds=False, like=other)

    assert {other: [1]} == deleted(table)


def test_a_vector_takes_the_place_of_position_deletes(lake: Lake) -> None:
    """A file with a deletion vector takes its rows from the vector alone; other files keep their position deletes."""
    first, second, *_ = files(lake.table())
    add_position_deletes(lake.table(), first, [0, 1])
    add_position_deletes(lake.table(), second, [2])

    table = add_deletion_vector(lake.table(), first, [1, 4])

    assert {first: [1, 4], second: [2]} == deleted(table)
    assert [DeleteKind.VECTOR] == [each.kind for each in files(table)[first].deletes]


def test_equality_deletes_reach_older_data_only(lake: Lake) -> None:
    """Rows appended after an equality delete stay, also when they equal it."""
    before = set(files(lake.table()))
    add_equality_deletes(lake.table(), ["customer"], [{"customer": 3}])
    lake.table().append(small_rows(60))

    found = deleted(lake.table())

    assert found.keys() <= before
    assert 9 == sum(map(len, found.values()))  # 60 orders of 7 customers


def test_data_of_the_deletes_own_commit(lake: Lake) -> None:
    """Of one sequence number, position deletes reach the data and equality deletes do not; of a later one, none do."""
    first, *_ = files(lake.table())
    lake.table().append(small_rows(60))
    last = next(path for path, live in files(lake.table()).items() if live.sequence_number == 2)

    add_equality_deletes(lake.table(), ["tag"], [{"tag": "t1"}], sequence_number=1)
    add_position_deletes(lake.table(), last, [0], sequence_number=1)
    table = add_position_deletes(lake.table(), first, [0], sequence_number=1)

    assert {first: [0]} == deleted(table)


def test_equality_deletes_of_a_partition_stay_in_it(lake: Lake) -> None:
    """An equality delete under a partition deletes there only; one under the unpartitioned spec deletes everywhere."""
    path = next(iter(files(lake.table())))

    table = add_equality_deletes(lake.table(), ["tag"], [{"tag": "t1"}], partition=path)
    assert {path} == deleted(table).keys()

    table = add_equality_deletes(table, ["tag"], [{"tag": "t1"}])
    assert 15 == sum(map(len, deleted(table).values()))
    assert set(files(table)) == {each.path for each in files(table).values() if each.deletes}


def test_a_window_prunes_data_files_and_keeps_their_deletes(lake: Lake) -> None:
    """A row filter prunes by partition, and what it keeps has every delete, also of rows outside the filter."""
    add_equality_deletes(lake.table(), ["tag"], [{"tag": "t1"}])
    table = lake.table()

    found = live_files(table, table.current_snapshot(), "ts >= '2024-03-01T00:00:00+00:00'")

    assert ["month=2024-03"] * 2 == [next(p for p in each.path.split("/") if p.startswith("month=")) for each in found]
    assert [1, 1] == [len(each.deletes) for each in found]


def test_a_filter_prunes_by_column_bounds(lake: Lake) -> None:
    """Files whose bounds cannot meet the filter are left out, without a partition on the column."""
    lake.make("shop.flat", small_rows(20), partitioned=False)
    lake.table("shop.flat").append(small_rows(60).slice(40))
    table = lake.table("shop.flat")

    found = live_files(table, table.current_snapshot(), "id >= 30")

    assert [2] == [each.sequence_number for each in found]


def test_a_long_position_delete_file(lake: Lake) -> None:
    """A delete file of several row groups, where paths repeat out of order, gives each file its own rows."""
    lake.table().append(small_rows(60))
    month = [path for path in files(lake.table()) if "month=2024-01" in path and "bucket=0" in path]
    table = add_shared_position_deletes(lake.table(), {month[0]: [0, 2], month[1]: [5]})
    written = local_path(files(table)[month[0]].deletes[0].file.file_path)
    schema = pq.read_schema(written)
    rows = [(month[1], 5), (month[0], 2), (month[1], 1), (month[0], 0), (month[0], 2)]
    pq.write_table(pa.table([list(each) for each in zip(*rows, strict=True)], schema=schema), written, row_group_size=2)

    assert {month[0]: [0, 2], month[1]: [1, 5]} == deleted(table)


def test_a_damaged_vector_is_refused(lake: Lake) -> None:
    """A deletion vector with another checksum is never read as fewer deletes."""
    path = next(iter(files(lake.table())))
    table = add_deletion_vector(lake.table(), path, [1, 2])
    puffin = local_path(files(table)[path].deletes[0].file.file_path)
    puffin.write_bytes(puffin.read_bytes().replace(b"\xd1\xd3\x39\x64\x01", b"\xd1\xd3\x39\x64\x02"))

    with pytest.raises(DataError, match=r"table\.deletion_vector.*checksum"):
        deleted(table)


def test_every_kind_of_delete_is_counted(lake: Lake) -> None:
    """The platform's own listing says how many deletes of every kind apply to each live file."""
    first, second, *_ = files(lake.table())
    add_position_deletes(lake.table(), first, [0])
    add_deletion_vector(lake.table(), second, [0])
    add_equality_deletes(lake.table(), ["id"], [{"id": -1}])

    live = lake.backfills.tables.live_paths(TableName.parse(ORDERS))

    assert [2, 2, 1, 1, 1, 1] == list(live.values())
