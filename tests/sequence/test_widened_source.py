"""A source whose column changes its type: narrower values fit the index, wider ones make another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.sequence.builds import Builds
from nbplat.sequence.stored_index import StoredIndex
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import clicks, definition


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path / "home")
    yield made
    made.close()


def put(folder: Path, day: int, rows: pa.Table) -> None:
    """A file that is younger than those before."""
    folder.mkdir(exist_ok=True)
    pq.write_table(rows, folder / f"{day}.parquet")
    os.utime(folder / f"{day}.parquet", (1000 * day, 1000 * day))


def items(rows: pa.Table, kind: pa.DataType, more: int = 0) -> pa.Table:
    values = pa.array([value + more for value in rows["item"].to_pylist()], kind)
    return rows.set_column(rows.column_names.index("item"), "item", values)


def built(lake: Lake, folder: Path) -> StoredIndex:
    sequences, declared = lake.platform.sequences, definition(str(folder))
    Builds(sequences).queue(declared, owner="me")
    lake.work()
    found = sequences.find_index(sequences.bind(declared))
    assert found is not None
    return found


def test_a_narrower_type_is_stored_as_before(lake: Lake, tmp_path: Path) -> None:
    """Small integers that come later are appended to an index of larger ones."""
    rows = clicks(300)
    put(tmp_path / "days", 1, items(rows.slice(0, 200), pa.int32()))
    first = built(lake, tmp_path / "days")
    put(tmp_path / "days", 2, items(rows.slice(200), pa.int8()))
    second = built(lake, tmp_path / "days")
    assert (first.state.pin.table, pa.int32()) == (second.state.pin.table, second.schema.field("item").type)
    assert 300 == second.report.steps[0].rows_in


def test_a_wider_type_makes_another_index(lake: Lake, tmp_path: Path) -> None:
    """All rows are sorted anew in the new type; the old index stays as it is."""
    rows = clicks(300)
    put(tmp_path / "days", 1, items(rows.slice(0, 200), pa.int32()))
    first = built(lake, tmp_path / "days")
    put(tmp_path / "days", 2, items(rows.slice(200), pa.int64(), 2**40))
    second = built(lake, tmp_path / "days")
    assert first.state.pin.table != second.state.pin.table
    assert pa.int64() == second.schema.field("item").type
    assert 300 == second.report.steps[0].rows_in
    old = lake.platform.sequences.tables.state(first.state.pin.table)
    assert old is not None
    assert old.report is not None
    assert 200 == old.report.steps[0].rows_in
