"""Splicing on an object store: the same file as on a disk, at the price of its new bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nbplat.adapters.files.s3 import S3Files
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.backfill.ports import Addition
from tests.fixtures.s3_server import S3Server
from tests.fixtures.splicing import splice
from tests.parquet.test_drop import with_ids, write

pytestmark = pytest.mark.s3


@pytest.mark.parametrize("rows", [1000, 400_000])
def test_a_splice_is_the_same_everywhere(s3_server: S3Server, bucket: str, tmp_path: Path, rows: int) -> None:
    """Small and large; of a large base not a byte is uploaded, and the check reads samples of it."""
    numbers = np.random.default_rng(1).random((2, rows))
    base = write(
        tmp_path / "base", with_ids(pa.table({"a": numbers[0], "b": numbers[1]}), 1)[0], [rows // 2, rows // 2]
    )
    new, ids = with_ids(pa.table({"c": pa.array(range(rows), pa.int32())}), 901)
    staged = write(tmp_path / "new", new, [rows // 2, rows // 2], write_page_index=True)
    splice(base, staged, tmp_path / "out", ids, drop={101})
    files = S3Files(s3_server.options)
    for path in (base, staged):
        with files.open_output(f"s3://{bucket}/{path.name}") as out:
            out.write(path.read_bytes())
    splicer = ParquetSplicer(files)
    where = {name: f"s3://{bucket}/{name}" for name in ("base", "new", "out")}
    additions = [Addition(where["new"], ids)]
    since = len(s3_server.requests)
    report = splicer.splice(where["base"], additions, where["out"], drop={101})
    seen = s3_server.seen(since)
    assert ("COPY part" in seen) == (report["copied_bytes"] >= 5 << 20)
    with files.open_input(where["out"]) as file:
        assert (tmp_path / "out").read_bytes() == file.read()
    assert splicer.unchanged(where["base"], additions, where["out"], drop={101}) is None
    assert "b" == splicer.unchanged(where["base"], additions, where["out"])
    assert (base.stat().st_size, report["file_bytes"]) == (files.size(where["base"]), files.size(where["out"]))
