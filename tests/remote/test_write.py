"""Staged files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.remote.failure import KernelError
from nbplat.remote.write import staged_bytes, write_staged

COLUMNS = pa.table(
    {
        "id": pa.array(range(6), pa.int64()),
        "new": pa.array([None, 1.0, 2.0, 3.0, 4.0, 5.0]),
        "vector": pa.array([[1.0], None, [], [2.0, 3.0], [4.0], [5.0]], pa.list_(pa.field("element", pa.float32()))),
    }
)


def write(out: Path, columns: pa.Table = COLUMNS, **options: Any) -> dict[str, Any]:
    given = {"positions": None, "groups": [3, 1, 2], "digest": "d", "storage": {}, **options}
    return write_staged(columns, base_path="file:///base.parquet", out=f"file://{out}", unit="00003", fence=2, **given)


def test_a_staged_file_has_the_row_groups_of_its_base(tmp_path: Path) -> None:
    """Row groups are cut alike, the position is the row's number, and the name holds unit and fence."""
    record = write(tmp_path / "f-1")
    path = tmp_path / "f-1" / "00003-2.parquet"
    assert {
        "base_path": "file:///base.parquet",
        "path": f"file://{path}",
        "rows": 6,
        "file_bytes": path.stat().st_size,
        "dense": True,
        "key_digest": "d",
    } == record
    metadata = pq.read_metadata(path)
    assert [3, 1, 2] == [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    read = pq.read_table(path)
    assert [0, 1, 2, 3, 4, 5] == read["nb_pos"].to_pylist()
    assert {"file:///base.parquet"} == set(read["nb_file"].to_pylist())
    assert pa.string() == read.schema.field("nb_file").type
    assert COLUMNS.to_pylist() == read.select(COLUMNS.column_names).to_pylist()
    assert ["00003-2.parquet"] == [each.name for each in path.parent.iterdir()]


def test_every_field_has_an_id_and_other_readers_agree(tmp_path: Path) -> None:
    """Field ids are the positions, nested ones follow, and a second reader sees the same rows."""
    write(tmp_path)
    path = tmp_path / "00003-2.parquet"
    fields = pq.read_schema(path)
    assert [b"1", b"2", b"3", b"4", b"5"] == [field.metadata[b"PARQUET:field_id"] for field in fields]
    assert b"6" == fields.field("vector").type.value_field.metadata[b"PARQUET:field_id"]
    assert pq.read_table(path).to_pylist() == pl.read_parquet(path).to_dicts()


def test_rows_of_a_file_with_deletes_keep_their_physical_position(tmp_path: Path) -> None:
    """Row groups follow the live rows; one that lost them all is left out; the file is not dense."""
    positions = np.array([1, 2, 9, 10, 11, 12])
    record = write(tmp_path, positions=positions, groups=[2, 0, 4])
    path = tmp_path / "00003-2.parquet"
    assert not record["dense"]
    metadata = pq.read_metadata(path)
    assert [2, 4] == [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert positions.tolist() == pq.read_table(path)["nb_pos"].to_pylist()


def test_a_file_without_rows_is_written(tmp_path: Path) -> None:
    """Every row may be deleted."""
    write(tmp_path, COLUMNS.slice(0, 0), positions=np.array([], np.int64), groups=[0, 0])
    assert 0 == pq.read_table(tmp_path / "00003-2.parquet").num_rows


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the machine's and names the folder."""

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KernelError) as caught:
        write(tmp_path / "f-1")
    assert ("disk.full", "SetupError", str(tmp_path / "f-1")) == (
        caught.value.code,
        caught.value.kind,
        caught.value.where,
    )
    assert [] == list((tmp_path / "f-1").iterdir())


def test_the_size_is_known_without_writing(tmp_path: Path) -> None:
    """A sample's size is that of the file it would be, but for its row groups."""
    assert write(tmp_path, groups=[6])["file_bytes"] == staged_bytes(COLUMNS, "file:///base.parquet")


def test_a_key_is_written_without_a_dictionary(tmp_path: Path) -> None:
    """Columns that hold no value twice have no dictionary, the others have one, and a reader sees the same rows."""
    write(tmp_path, distinct=["id"])
    path = tmp_path / "00003-2.parquet"
    group = pq.read_metadata(path).row_group(0)
    dictionaries = {group.column(n).path_in_schema: group.column(n).has_dictionary_page for n in range(2)}
    assert {"id": False, "new": True} == dictionaries
    assert COLUMNS.to_pylist() == pq.read_table(path).select(COLUMNS.column_names).to_pylist()
