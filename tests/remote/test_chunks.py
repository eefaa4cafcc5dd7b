"""Reading a data file in bounded chunks gives what reading it at once gives, over any deletes and row groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.remote.failure import KernelError
from nbplat.remote.read import live_chunks, read_live
from nbplat.remote.sequence.source_part import read_part

ROWS = 100


def field(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


WANTED = pa.schema(
    [
        field("id", pa.int64(), 1),
        field("renamed", pa.string(), 2),
        field("constant", pa.string(), 3),
        field("added", pa.float64(), 4),
    ]
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    stored = pa.schema([field("name", pa.string(), 2), field("id", pa.int32(), 1)])
    table = pa.table([[f"r{n}" for n in range(ROWS)], pa.array(range(ROWS), pa.int32())], schema=stored)
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=30)
    return str(tmp_path / "f.parquet")


def task(path: str, deleted: list[int], **more: Any) -> Any:
    return {
        "unit": "0",
        "fence": 1,
        "path": path,
        "rows": ROWS,
        "constants": {"constant": "c"},
        "deleted": np.array(deleted, "<i8").tobytes(),
        **more,
    }


@pytest.mark.parametrize("deleted", [[], [0], [29, 30, 31], list(range(25, 65)), [99], list(range(100))])
@pytest.mark.parametrize("chunk_rows", [1, 7, 30, 1000])
def test_chunks_are_the_rows_of_the_file(path: str, deleted: list[int], chunk_rows: int) -> None:
    """Any chunk size and any deleted rows: the same rows in the same order, no chunk too long, none empty."""
    file = task(path, deleted)
    whole = read_live(file, WANTED, {}, {}).table
    chunks = list(live_chunks(file, WANTED, {}, {}, chunk_rows))
    assert all(0 < chunk.num_rows <= chunk_rows for chunk in chunks)
    assert whole == pa.concat_tables([whole.slice(0, 0), *chunks])
    assert [n for n in range(ROWS) if n not in deleted] == whole["id"].to_pylist()


def test_row_groups_together_are_the_file(path: str) -> None:
    """Deletes name rows of the file, whichever row groups are read."""
    deleted = [0, 29, 30, 59, 60, 99]
    for cut in range(5):
        parts = [task(path, deleted, groups=groups) for groups in ((0, cut), (cut, 4))]
        found = [n for part in parts for chunk in live_chunks(part, WANTED, {}, {}, 8) for n in chunk["id"].to_pylist()]
        assert [n for n in range(ROWS) if n not in deleted] == found


def test_columns_that_no_file_holds_have_rows_all_the_same(path: str) -> None:
    """Constants and nulls are counted out, and so are rows without any column."""
    file = task(path, [1, 2])
    chunks = list(live_chunks(file, WANTED.empty_table().select(["added", "constant"]).schema, {}, {}, 40))
    assert {"added": None, "constant": "c"} == chunks[0].slice(0, 1).to_pylist()[0]
    assert 98 == sum(chunk.num_rows for chunk in chunks)
    assert [38, 40, 20] == [chunk.num_rows for chunk in live_chunks(file, pa.schema([]), {}, {}, 40)]


def test_a_part_of_an_iceberg_table_is_read_by_its_dict_alone(path: str) -> None:
    """The names of columns are those of the table, whatever the file calls them."""
    part = {
        **task(path, [0]),
        "kind": "iceberg",
        "schema": WANTED.serialize().to_pybytes(),
        "names": {},
        "storage": {},
    }
    [chunk] = read_part(part, ["renamed", "id"], 1000)
    assert [{"renamed": "r1", "id": 1}] == chunk.slice(0, 1).to_pylist()
    assert pa.schema([("renamed", pa.string()), ("id", pa.int64())]) == chunk.schema


def test_a_delete_beyond_the_file_is_refused(path: str) -> None:
    """The manifest and the file do not belong together."""
    with pytest.raises(KernelError, match=r"file\.deletes.*row 100"):
        list(live_chunks(task(path, [100]), WANTED, {}, {}, 10))


def test_a_page_that_is_damaged_is_told_with_the_file(path: str) -> None:
    """The footer may be whole when the data is not."""
    data = bytearray(Path(path).read_bytes())
    data[4:400] = b"\xff" * 396
    Path(path).write_bytes(bytes(data))
    with pytest.raises(KernelError, match=r"file\.damaged.*f\.parquet"):
        list(live_chunks(task(path, []), WANTED, {}, {}, 10))
