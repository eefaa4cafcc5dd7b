"""An Iceberg table as a source of events: what its parts give, and what was added since a pin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import snapshot as snapshots
from pyiceberg.types import DoubleType

from nbplat.adapters.iceberg.event_source import IcebergEventSource, read_rows
from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.time_bounds import time_bounds
from nbplat.errors import Conflict, NotFound
from nbplat.sequence.ports import SourcePart, SourcePin
from tests.fixtures.deletes import add_deletion_vector, add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import Lake

CLICKS = "web.clicks"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path / "home")
    yield lake
    lake.close()


def clicks(*numbers: int) -> pa.Table:
    at = [dt.datetime(2024, 1, 1 + n % 28, tzinfo=dt.UTC) for n in numbers]
    columns = [pa.array(numbers, pa.int64()), pa.array(at, pa.timestamp("us", tz="UTC"))]
    return pa.table(columns, names=["id", "ts"])


def make(lake: Lake, *numbers: int) -> Table:
    return lake.make(CLICKS, clicks(*numbers), partitioned=False)


def ids(parts: Sequence[SourcePart] | None) -> list[int] | None:
    """The ids that a reader of the parts gets; None for None."""
    if parts is None:
        return None
    rows = [chunk for part in parts for chunk in read_rows(part.task, ["id"], 3)]
    return sorted(n for chunk in rows for n in chunk["id"].to_pylist())


def source(lake: Lake) -> IcebergEventSource:
    return IcebergEventSource(lake.catalog, CLICKS)


def test_parts_read_like_the_table(lake: Lake) -> None:
    """The parts of a table with every kind of delete give its live rows, and only they."""
    table = make(lake, *range(8))
    table.append(clicks(*range(8, 16)))
    table.append(clicks(*range(16, 24)))
    paths = sorted(file.file.file_path for file in lake.table(CLICKS).scan().plan_files())
    table = add_position_deletes(lake.table(CLICKS), paths[0], [0, 7])
    table = add_deletion_vector(table, paths[1], [3])
    add_equality_deletes(table, ["id"], [{"id": 20}, {"id": 5}])
    events = source(lake)
    expected = lake.backfills.tables.read(events.pin.table, ["id"])
    read = pa.concat_tables(events.read(["ts", "id"]))
    assert ["ts", "id"] == read.column_names
    assert sorted(expected["id"].to_pylist()) == sorted(read["id"].to_pylist()) == ids(events.parts)
    assert (3, 24) == (len(events.parts), events.rows)
    assert events.bytes == sum(part.bytes for part in events.parts) > 0
    assert pa.timestamp("us", tz="UTC") == events.schema.field("ts").type


def test_a_pin_reads_as_it_was(lake: Lake) -> None:
    """A source at an older pin has the older rows and columns; equal states have equal identities."""
    table = make(lake, 1, 2)
    old = source(lake).pin
    assert old == source(lake).pin == SourcePin.from_record(old.record())
    with table.update_schema() as update:
        update.add_column("price", DoubleType())
    lake.table(CLICKS).append(clicks(3).append_column("price", pa.array([1.5])))
    new = source(lake)
    assert old.identity != new.pin.identity
    assert [None, None, 1.5] == pa.concat_tables(new.read(["price", "id"])).sort_by("id")["price"].to_pylist()
    at_old = IcebergEventSource(lake.catalog, CLICKS, old.table)
    assert (["id", "ts"], [1, 2]) == (at_old.schema.names, ids(at_old.parts))


def test_unknown_columns_and_tables_are_named(lake: Lake) -> None:
    """A table or column that does not exist is refused with the nearest name."""
    make(lake, 1)
    with pytest.raises(NotFound, match="id"):
        next(source(lake).read(["idd"]))
    with pytest.raises(NotFound, match=r"web\.clicks"):
        IcebergEventSource(lake.catalog, "web.click")


def test_appended_rows_are_found(lake: Lake) -> None:
    """Since a pin, the rows of every later append are new, and none of before."""
    table = make(lake, 1, 2)
    pin = source(lake).pin
    assert [] == ids(source(lake).added_since(pin))
    table.append(clicks(3, 4))
    table.append(clicks(5))
    assert [3, 4, 5] == ids(source(lake).added_since(pin))


def test_everything_was_added_since_an_empty_table(lake: Lake) -> None:
    """Since the pin of a table without a snapshot, all rows are new."""
    table = make(lake)
    empty = source(lake)
    assert ((), 0) == (empty.parts, empty.rows)
    table.append(clicks(1))
    assert [1] == ids(source(lake).added_since(empty.pin))


def test_compaction_hides_no_append(lake: Lake) -> None:
    """Rows that were appended and then rewritten together with old ones are found, and the old ones are not."""
    make(lake, 1, 2)
    pin = source(lake).pin
    lake.table(CLICKS).append(clicks(3))
    replace(lake, "replace")
    lake.table(CLICKS).append(clicks(4))
    assert [3, 4] == ids(source(lake).added_since(pin))


@pytest.mark.parametrize("how", ["delete", "overwrite", "equality", "again", "rollback"])
def test_changed_sources_are_told(lake: Lake, how: str) -> None:
    """A source whose old rows were deleted, rewritten, rolled back or replaced was not only appended to."""
    table = make(lake, 1, 2)
    table.append(clicks(3))
    pin = source(lake).pin
    if how == "delete":
        lake.table(CLICKS).delete("id == 1")
    elif how == "overwrite":
        replace(lake, "overwrite")
    elif how == "equality":
        add_equality_deletes(lake.table(CLICKS), ["id"], [{"id": 1}])
    elif how == "again":
        lake.catalog.drop_table(CLICKS)
        make(lake, 1, 2, 3)
    else:
        first = lake.table(CLICKS).history()[0].snapshot_id
        lake.table(CLICKS).manage_snapshots().rollback_to_snapshot(first).commit()
    lake.table(CLICKS).append(clicks(9))
    assert None is source(lake).added_since(pin)


def at(day: float) -> int:
    """So many days after the first of January 2024, in microseconds since 1970."""
    return int((1_704_067_200 + 86_400 * day) * 1_000_000)


def test_parts_of_a_window_are_few(lake: Lake) -> None:
    """Only files whose bounds meet the window are read, half open; a window without ends has them all."""
    table = make(lake, 0, 1)
    table.append(clicks(2, 3))
    table.append(clicks(5))

    def found(start: int | None, end: int | None) -> list[int] | None:
        return ids(source(lake).parts_within("ts", (start, end), None))

    assert [2, 3] == found(at(2), at(3))
    assert [2, 3, 5] == found(at(1.5), None)
    assert [0, 1] == found(None, at(2))
    assert [] == found(at(4), at(5))
    assert [0, 1, 2, 3, 5] == found(None, None)


def test_the_times_that_changed_are_known(lake: Lake) -> None:
    """Of files that came, went or lost rows the least and greatest time is told; None when nothing can be told."""
    table = make(lake, 0, 1)
    for day in (2, 3, 4, 5):
        table.append(clicks(day))
    before = source(lake).pin
    assert None is source(lake).changed_span(before, "ts", None)
    lake.table(CLICKS).delete("id == 3")
    lake.table(CLICKS).append(clicks(4))
    assert (at(3), at(4) + 1) == source(lake).changed_span(before, "ts", None)
    path = next(task.file.file_path for task in lake.table(CLICKS).scan("id == 1").plan_files())
    add_position_deletes(lake.table(CLICKS), path, [0])
    assert (at(0), at(4) + 1) == source(lake).changed_span(before, "ts", None)
    lake.catalog.drop_table(CLICKS)
    make(lake, 1)
    assert None is source(lake).changed_span(before, "ts", None)


@pytest.mark.parametrize(
    ("column", "unit", "window"),
    [
        ("plain", None, (at(-1), at(2) + 1)),
        ("date", None, (at(-1), at(2) + 1)),
        ("number", "s", (at(0), at(1) + 1)),
        ("empty", None, (0, 0)),
        ("number", None, None),
        ("text", None, None),
    ],
)
def test_bounds_of_every_kind_of_time(
    lake: Lake, column: str, unit: str | None, window: tuple[int, int] | None
) -> None:
    """Bounds are moments; a clock without a zone is a day wider, and what is no time has none."""
    days = [dt.datetime(2024, 1, day, tzinfo=dt.UTC) for day in (1, 2)]
    rows = pa.table(
        {
            "id": pa.array([1, 2], pa.int64()),
            "plain": pa.array([day.replace(tzinfo=None) for day in days], pa.timestamp("us")),
            "date": pa.array([day.date() for day in days], pa.date32()),
            "number": pa.array([int(day.timestamp()) for day in days], pa.int64()),
            "empty": pa.array([None, None], pa.timestamp("us", tz="UTC")),
            "text": pa.array(["a", "b"], pa.string()),
        }
    )
    table = lake.make(CLICKS, rows, partitioned=False)
    [live] = live_files(table, table.current_snapshot())
    assert window == time_bounds(live.file, table.schema().find_field(column), unit)


def test_a_source_of_another_kind_is_not_continued(lake: Lake) -> None:
    """A table does not go on from the pin of a folder."""
    make(lake, 1)
    assert None is source(lake).added_since(SourcePin("path", "clicks/*.parquet", "x"))


def test_a_pin_that_is_gone_is_refused(lake: Lake) -> None:
    """A pin on a table that was dropped and made anew is a conflict."""
    make(lake, 1)
    pin = source(lake).pin.table
    lake.catalog.drop_table(CLICKS)
    make(lake, 1)
    with pytest.raises(Conflict):
        IcebergEventSource(lake.catalog, CLICKS, pin)


def replace(lake: Lake, operation: str) -> None:
    """Write all files of the table into one, as a compaction does, and call it that."""
    with pytest.MonkeyPatch.context() as patch:
        # pyiceberg counts what compactions do, and refuses to.
        patch.setattr(snapshots, "update_snapshot_summaries", lambda summary, **_: summary)
        _rewrite(lake.table(CLICKS), Operation(operation))


def _rewrite(table: Table, operation: Operation) -> None:
    old = [task.file for task in table.scan().plan_files()]
    with table.transaction() as transaction:
        producer = transaction.update_snapshot().overwrite()
        producer._operation = operation
        with producer as update:
            rows = table.scan().to_arrow()
            for new in _dataframe_to_data_files(transaction.table_metadata, rows, table.io):
                update.append_data_file(new)
            for file in old:
                update.delete_data_file(file)
