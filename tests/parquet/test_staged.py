"""Staged files and file locations."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.errors import SetupError
from nbplat.terms import local_path


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


def test_a_second_splice_goes_beside_the_first() -> None:
    """The target's name holds run and try, and does not grow with every promotion."""
    splicer = ParquetSplicer(LocalFiles())
    first = splicer.target_path("file:///t/data/00000.parquet", "f@1", 1)
    assert "file:///t/data/00000--nb-f-1-1.parquet" == first
    assert "file:///t/data/00000--nb-g-2-3.parquet" == splicer.target_path(first, "g@2", 3)
