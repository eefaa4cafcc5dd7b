"""Staged files and file locations."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.adapters.parquet.staged import StagedParquet
from nbplat.errors import SetupError
from nbplat.terms import local_path
from tests.fixtures.splicing import row_groups


@pytest.mark.parametrize("uri", ["/a/b c.parquet", "file:/a/b c.parquet", "file:///a/b c.parquet"])
def test_each_spelling_of_a_local_file_is_read(uri: str) -> None:
    """Writers spell local files in three ways, never percent-encoded."""
    assert Path("/a/b c.parquet") == local_path(uri)


@pytest.mark.parametrize("uri", ["s3://bucket/a", "hdfs://name/a", "gs://b/a"])
def test_files_of_other_stores_are_refused(uri: str) -> None:
    """What cannot be spliced here is named."""
    with pytest.raises(SetupError) as caught:
        local_path(uri)
    assert ("store.unsupported", True) == (caught.value.code, uri.split(":")[0] in caught.value.message)


def test_a_staged_file_has_the_row_groups_of_its_base(tmp_path: Path) -> None:
    """Row groups are cut alike, the position is the row's number, and the name holds unit and fence."""
    base = tmp_path / "base.parquet"
    with pq.ParquetWriter(base, pa.schema([("a", pa.int64())])) as writer:
        for rows in (3, 1, 2):
            writer.write_table(pa.table({"a": pa.array(range(rows), pa.int64())}))
    columns = pa.table({"id": pa.array(range(6), pa.int64()), "new": pa.array([None, 1.0, 2.0, 3.0, 4.0, 5.0])})
    parquet = StagedParquet(LocalFiles(), f"file://{tmp_path}/staged")
    file = parquet.write("f@1", "00003", 2, f"file://{base}", columns, "d")
    path = local_path(file.path)
    assert ("00003-2.parquet", "f-1") == (path.name, path.parent.name)
    assert [3, 1, 2] == row_groups(path)
    assert (6, path.stat().st_size, True, "d") == (file.rows, file.file_bytes, file.dense, file.key_digest)
    read = parquet.read(file, ["nb_pos", "new", "nb_file"])
    assert [0, 1, 2, 3, 4, 5] == read["nb_pos"].to_pylist()
    assert columns["new"].to_pylist() == read["new"].to_pylist()
    assert {f"file://{base}"} == set(read["nb_file"].to_pylist())
    assert [] == list(path.parent.glob("*.partial"))


def test_a_second_splice_goes_beside_the_first() -> None:
    """The target's name holds run and try, and does not grow with every promotion."""
    splicer = ParquetSplicer(LocalFiles())
    first = splicer.target_path("file:///t/data/00000.parquet", "f@1", 1)
    assert "file:///t/data/00000--nb-f-1-1.parquet" == first
    assert "file:///t/data/00000--nb-g-2-3.parquet" == splicer.target_path(first, "g@2", 3)
