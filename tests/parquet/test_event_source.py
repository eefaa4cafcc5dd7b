"""Parquet files as a source of events: what a path names, one schema for all files, parts, and what came since."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.parquet import event_source
from nbplat.adapters.parquet.event_source import ParquetEventSource
from nbplat.errors import Conflict, DataError, NbplatError, NotFound, RequestError, SetupError
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.source_part import read_part


def local(location: str) -> Mapping[str, str]:
    assert location.startswith("/")
    return {}


def source(path: Path | str) -> ParquetEventSource:
    return ParquetEventSource(str(path), local)


def write(path: Path, rows: Mapping[str, Any] | pa.Table, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    pq.write_table(table, path, **options)
    return path


def values(found: ParquetEventSource, *columns: str) -> dict[str, list[Any]]:
    chunks = list(found.read(columns))
    assert all(chunk.column_names == list(columns) for chunk in chunks)
    return {name: [value for chunk in chunks for value in chunk.column(name).to_pylist()] for name in columns}


def refused(path: Path | str, ask: str = "schema") -> NbplatError:
    with pytest.raises(NbplatError) as found:
        getattr(source(path), ask)
    return found.value


# -- what a path names -----------------------------------------------------------------------------


def test_a_folder_holds_all_parquet_files_below_it_that_are_not_hidden(tmp_path: Path) -> None:
    """Files of other kinds, of writers under way and of folders that begin with _ or . are no part of it."""
    write(tmp_path / "b.parquet", {"n": [3]})
    write(tmp_path / "a" / "deep" / "one.PARQUET", {"n": [1]})
    write(tmp_path / "a" / "two.parq", {"n": [2]})
    write(tmp_path / "_temporary" / "half.parquet", {"n": [9]})
    write(tmp_path / ".tmp.parquet", {"n": [9]})
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.txt").write_text("no data")
    assert {"n": [1, 2, 3]} == values(source(tmp_path), "n")
    assert {"n": [1, 2, 3]} == values(source(f"{tmp_path}/"), "n")
    assert {"n": [1, 2, 3]} == values(source(f"file://{tmp_path}"), "n")


def test_a_file_is_read_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that names one file means it, also one that has a glob's letters, and one relative to the process."""
    write(tmp_path / "part-0", {"n": [1]})
    write(tmp_path / "odd[1].parquet", {"n": [2]})
    write(tmp_path / "odd1.parquet", {"n": [3]})
    assert {"n": [1]} == values(source(tmp_path / "part-0"), "n")
    assert {"n": [2]} == values(source(tmp_path / "odd[1].parquet"), "n")
    monkeypatch.chdir(tmp_path)
    assert {"n": [1]} == values(source("part-0"), "n")


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.parquet", [1, 2]),
        ("day-0?/*.parquet", [3, 4]),
        ("day-[0-1]1/*", [3, 5]),
        ("day-[!1]*/x.parquet", [3, 4]),
        ("**/x.parquet", [3, 4, 5]),
        ("day-*", [3, 4, 5]),
        ("**", [1, 2, 3, 4, 5]),
    ],
)
def test_a_glob_matches_within_folders_and_with_two_stars_through_them(
    tmp_path: Path, glob: str, found: list[int]
) -> None:
    """What matches counts; of a folder that matches, the Parquet files below it."""
    for number, name in enumerate(
        ["a.parquet", "b.parquet", "day-01/x.parquet", "day-02/x.parquet", "day-11/x.parquet"], 1
    ):
        write(tmp_path / "events" / name, {"n": [number]})
    assert found == sorted(values(source(tmp_path / "events" / glob), "n")["n"])


def test_what_is_not_there_is_told_with_what_is_near(tmp_path: Path) -> None:
    """A missing path shows its neighbours, a glob the folder to look into, a folder without Parquet what it holds."""
    write(tmp_path / "events.parquet", {"n": [1]})
    error = refused(tmp_path / "evnts.parquet", "pin")
    assert (NotFound, "source.missing") == (type(error), error.code)
    assert "did you mean events.parquet?" == error.fix
    assert "there is no folder" in refused(tmp_path / "no" / "such", "pin").fix
    error = refused(tmp_path / "days" / "*.parquet", "pin")
    assert (NotFound, "source.no_match") == (type(error), error.code)
    assert str(tmp_path / "days") in error.fix
    (tmp_path / "raw").mkdir()
    assert "is empty" in refused(tmp_path / "raw", "pin").message
    (tmp_path / "raw" / "day.csv").write_text("a,b\n")
    error = refused(tmp_path / "raw", "pin")
    assert (RequestError, "source.no_parquet") == (type(error), error.code)
    assert "day.csv" in error.message


def test_a_scheme_that_cannot_be_opened_is_refused() -> None:
    """Other stores are named, not guessed."""
    with pytest.raises(SetupError, match=r"storage\.scheme.*'hdfs'"):
        ParquetEventSource("hdfs://cluster/events", lambda location: {})


def test_a_file_that_is_not_parquet_is_told_by_how_it_begins(tmp_path: Path) -> None:
    """Nothing is guessed from the name; an empty file is no Parquet either."""
    (tmp_path / "a.parquet").write_bytes(b"PK\x03\x04 an archive of some kind")
    error = refused(tmp_path)
    assert (RequestError, "source.not_parquet", f"{tmp_path}/a.parquet") == (type(error), error.code, error.where)
    assert "PK" in error.message
    (tmp_path / "a.parquet").write_bytes(b"")
    assert "it is empty" in refused(tmp_path).message


def test_a_file_without_its_end_is_damaged(tmp_path: Path) -> None:
    """A copy that was cut off begins as Parquet and has no footer."""
    path = write(tmp_path / "a.parquet", {"n": list(range(1000))})
    path.write_bytes(path.read_bytes()[:-20])
    error = refused(tmp_path)
    assert (DataError, "source.damaged", str(path)) == (type(error), error.code, error.where)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    """Its first bytes say so."""
    (tmp_path / "a.parquet").write_bytes(b"PARE" + b"\0" * 40 + b"PARE")
    assert "source.encrypted" == refused(tmp_path).code


# -- columns ---------------------------------------------------------------------------------------


def test_files_of_several_schemas_are_read_by_one(tmp_path: Path) -> None:
    """Columns that came later are null before, orders differ, and types are widened."""
    early = {
        "id": pa.array([1], pa.int32()),
        "f": pa.array([0.5], pa.float32()),
        "ts": pa.array([0], pa.timestamp("ms")),
        "kind": pa.array(["a"]).dictionary_encode(),
        "v": pa.array([[1.5]], pa.list_(pa.float32())),
        "item": pa.array([{"a": 1}], pa.struct([("a", pa.int32())])),
        "gone": pa.array(["old"]),
    }
    late = {
        "item": pa.array([{"b": "x", "a": 2**40}], pa.struct([("b", pa.string()), ("a", pa.int64())])),
        "kind": pa.array(["b"], pa.large_string()),
        "ts": pa.array([1_000_001], pa.timestamp("ns")),
        "id": pa.array([2**40]),
        "f": pa.array([3], pa.int16()),
        "v": pa.array([[2.5, None]], pa.large_list(pa.float64())),
        "new": pa.array([True]),
    }
    write(tmp_path / "1.parquet", early)
    write(tmp_path / "2.parquet", late)
    found = source(tmp_path)
    expected = {
        "id": pa.int64(),
        "f": pa.float64(),
        "ts": pa.timestamp("us"),
        "kind": pa.string(),
        "v": pa.list_(pa.field("element", pa.float64())),
        "item": pa.struct([("a", pa.int64()), ("b", pa.string())]),
        "gone": pa.string(),
        "new": pa.bool_(),
    }
    assert expected == dict(zip(found.schema.names, found.schema.types, strict=True))
    rows = pa.concat_tables(found.read(found.schema.names))
    assert found.schema == rows.schema
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the column has no zone
    assert [
        {
            "id": 1,
            "f": 0.5,
            "ts": epoch,
            "kind": "a",
            "v": [1.5],
            "item": {"a": 1, "b": None},
            "gone": "old",
            "new": None,
        },
        {
            "id": 2**40,
            "f": 3.0,
            "ts": epoch + dt.timedelta(milliseconds=1),
            "kind": "b",
            "v": [2.5, None],
            "item": {"a": 2**40, "b": "x"},
            "gone": None,
            "new": True,
        },
    ] == rows.to_pylist()


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int8(), pa.uint8(), pa.int16()),
        (pa.uint32(), pa.int32(), pa.int64()),
        (pa.uint64(), pa.int64(), None),
        (pa.int64(), pa.float64(), None),
        (pa.int32(), pa.float32(), pa.float64()),
        (pa.null(), pa.date32(), pa.date32()),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC")),
        (pa.date32(), pa.timestamp("us"), None),
        (pa.date32(), pa.date64(), pa.date32()),
        (pa.decimal128(5, 2), pa.decimal128(9, 2), pa.decimal128(9, 2)),
        (pa.decimal128(5, 2), pa.decimal128(9, 3), None),
        (pa.string(), pa.int64(), None),
        (pa.list_(pa.int32()), pa.list_(pa.string()), None),
        (pa.struct([("a", pa.int32())]), pa.struct([("a", pa.string())]), None),
    ],
)
def test_types_have_a_common_one_only_where_no_value_changes(
    one: pa.DataType, other: pa.DataType, both: pa.DataType | None
) -> None:
    """In either order; where there is none the column and both files are named."""
    from nbplat.adapters.parquet.one_schema import one_schema

    for first, second in ((one, other), (other, one)):
        schemas = [("a", pa.schema([("x", first)])), ("b", pa.schema([("x", second)]))]
        if both is None:
            with pytest.raises(DataError, match=r"source\.types: the column 'x' .* in a \(b\)"):
                one_schema(schemas)
        else:
            assert pa.schema([("x", both)]) == one_schema(schemas)


def test_a_column_that_a_file_has_twice_is_refused(tmp_path: Path) -> None:
    """Nobody could say which one is meant."""
    write(tmp_path / "a.parquet", pa.table([[1], [2]], names=["x", "x"]))
    assert "source.column" == refused(tmp_path).code


def test_folders_named_by_a_column_are_columns(tmp_path: Path) -> None:
    """Whole numbers and dates have their types, Hive's null is null, and a column of the file itself wins."""
    write(tmp_path / "day=2011-03-01" / "shop=07" / "a.parquet", {"n": [1], "own": ["x"]})
    write(tmp_path / "day=2011-03-02" / "shop=12" / "own=from%20folder" / "a.parquet", {"n": [2]})
    write(tmp_path / "day=__HIVE_DEFAULT_PARTITION__" / "shop=3" / "a.parquet", {"n": [3]})
    found = source(tmp_path)
    assert [("day", pa.date32()), ("shop", pa.int64())] == [
        (name, found.schema.field(name).type) for name in ("day", "shop")
    ]
    assert {
        "n": [1, 2, 3],
        "day": [dt.date(2011, 3, 1), dt.date(2011, 3, 2), None],
        "shop": [7, 12, 3],
        "own": ["x", "from folder", None],
    } == values(found, "n", "day", "shop", "own")
    # The same columns are there when one day is named.
    assert {"day": [dt.date(2011, 3, 1)], "n": [1]} == values(source(tmp_path / "day=2011-03-01"), "day", "n")


def test_partitions_of_several_kinds_are_texts(tmp_path: Path) -> None:
    """One text among numbers makes the column a text, so that nothing is lost; 31 February is no date."""
    write(tmp_path / "k=1" / "d=2011-02-31" / "a.parquet", {"n": [1]})
    write(tmp_path / "k=one" / "d=2011-02-01" / "a.parquet", {"n": [2]})
    assert {"k": ["1", "one"], "d": ["2011-02-31", "2011-02-01"]} == values(source(tmp_path), "k", "d")


def test_field_ids_in_the_files_do_not_count(tmp_path: Path) -> None:
    """Files that Iceberg wrote are read by name like any other, nested fields as well."""

    def marked(kind: pa.DataType, number: int) -> pa.Field:
        return pa.field("x", kind, metadata={"PARQUET:field_id": str(number)})

    inner = pa.struct([pa.field("a", pa.int32(), metadata={"PARQUET:field_id": "7"})])
    write(tmp_path / "1.parquet", pa.table([pa.array([{"a": 1}], inner)], schema=pa.schema([marked(inner, 3)])))
    write(tmp_path / "2.parquet", {"x": pa.array([{"a": 2**40}])})
    assert {"x": [{"a": 1}, {"a": 2**40}]} == values(source(tmp_path), "x")


def test_an_unknown_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    """Nothing is read."""
    write(tmp_path / "a.parquet", {"amount": [1]})
    with pytest.raises(NotFound, match=r"column\.unknown.*'amuont'.*did you mean amount\?"):
        list(source(tmp_path).read(["amuont"]))


# -- parts and pins --------------------------------------------------------------------------------


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups are put together up to a size, and any part is read from its task alone, in bounded chunks."""
    monkeypatch.setattr(event_source, "_PART_BYTES", 3000)
    rows = pa.table({"n": pa.array(range(2000), pa.int64()), "s": pa.array([str(n) for n in range(2000)])})
    write(tmp_path / "day=2011-01-01" / "a.parquet", rows, row_group_size=100, compression="none")
    write(tmp_path / "day=2011-01-01" / "none.parquet", rows.slice(0, 0))
    found = source(tmp_path)
    parts = found.parts
    assert 1 < len(parts) < 20
    assert len(parts) == len({part.id for part in parts})
    assert (2000, 2000) == (found.rows, sum(part.rows for part in parts))
    assert sum(part.bytes for part in parts) <= found.bytes
    chunks = [chunk for part in parts for chunk in read_part(part.task, ["day", "n"], 33)]
    assert max(chunk.num_rows for chunk in chunks) <= 33
    assert list(range(2000)) == [n for chunk in chunks for n in chunk["n"].to_pylist()]
    assert {dt.date(2011, 1, 1)} == set(chunks[0]["day"].to_pylist())
    # Only folders' columns, or none at all: rows are still counted.
    assert 2000 == sum(chunk.num_rows for part in parts for chunk in read_part(part.task, ["day"], 999))
    assert 2000 == sum(chunk.num_rows for part in parts for chunk in read_part(part.task, [], 999))


def test_the_pin_is_the_files_sizes_and_times(tmp_path: Path) -> None:
    """It is the same until a file is written; the rows that were pinned can be read while newer files come."""
    first = write(tmp_path / "b.parquet", {"n": [1]})
    os.utime(first, (1000, 1000))
    before = source(tmp_path)
    assert before.pin == source(tmp_path).pin
    assert ("path", str(tmp_path), None) == (before.pin.kind, before.pin.name, before.pin.table)
    second = write(tmp_path / "a.parquet", {"n": [2]})
    os.utime(second, (2000, 2000))
    after = source(tmp_path)
    assert before.pin != after.pin
    [added] = after.added_since(before.pin) or ()
    assert [2] == [n for chunk in read_part(added.task, ["n"]) for n in chunk["n"].to_pylist()]
    assert () == after.added_since(after.pin)
    again = ParquetEventSource(str(tmp_path), local, pin=before.pin)
    assert (before.pin, {"n": [1]}) == (again.pin, values(again, "n"))


@pytest.mark.parametrize("change", ["touched", "removed", "older"])
def test_a_source_that_was_not_only_added_to_says_so(tmp_path: Path, change: str) -> None:
    """A file that was written again, removed, or came with an older time leaves nothing to add; the pin is gone."""
    for number, name in enumerate(("a", "b"), 1):
        os.utime(write(tmp_path / f"{name}.parquet", {"n": [number]}), (1000 * number, 1000 * number))
    before = source(tmp_path).pin
    if change == "touched":
        os.utime(tmp_path / "a.parquet", (5000, 5000))
    elif change == "removed":
        (tmp_path / "a.parquet").unlink()
    else:
        os.utime(write(tmp_path / "c.parquet", {"n": [3]}), (500, 500))
    assert source(tmp_path).added_since(before) is None
    with pytest.raises(Conflict, match=r"source\.moved"):
        ParquetEventSource(str(tmp_path), local, pin=before)


def test_a_file_that_changed_since_its_part_was_made_is_refused(tmp_path: Path) -> None:
    """Another number of rows, another type, or no file at all ends the read with the file's name."""
    path = write(tmp_path / "a.parquet", {"n": [1, 2]})
    [part] = source(tmp_path).parts
    write(path, {"n": [1]})
    with pytest.raises(KernelError, match=r"stage\.rows.*a\.parquet"):
        list(read_part(part.task, ["n"]))
    write(path, {"n": ["x", "y"]})
    with pytest.raises(KernelError, match=r"file\.type.*a\.parquet"):
        list(read_part(part.task, ["n"]))
    path.unlink()
    with pytest.raises(KernelError, match=r"file\.gone.*a\.parquet"):
        list(read_part(part.task, ["n"]))
