"""Parquet files on an object store as a source of events: found, pinned and read as on a disk."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.files.s3 import S3Files
from nbplat.adapters.parquet.event_source import ParquetEventSource
from nbplat.errors import NotFound, RequestError, SetupError
from nbplat.remote.sequence.source_part import read_part
from tests.fixtures.s3_server import S3Server

pytestmark = pytest.mark.s3


def put(server: S3Server, location: str, rows: dict[str, Any]) -> None:
    with S3Files(server.options).open_output(location) as out:
        pq.write_table(pa.table(rows), out)


def source(server: S3Server, path: str, **more: Any) -> ParquetEventSource:
    return ParquetEventSource(path, lambda location: server.options, **more)


@pytest.fixture
def folder(s3_server: S3Server, bucket: str) -> str:
    """Three files of two days, one of them with a column more."""
    root = f"s3://{bucket}/lake/events"
    put(s3_server, f"{root}/day=2011-01-01/a.parquet", {"n": [1, 2]})
    put(s3_server, f"{root}/day=2011-01-02/a b.parquet", {"n": [3], "late": ["x"]})
    put(s3_server, f"{root}/day=2011-01-02/_metadata/c.parquet", {"n": [9]})
    return root


def test_a_prefix_is_a_folder(s3_server: S3Server, folder: str) -> None:
    """Keys below it, hidden ones left out; days from their names; rows through the options of the store."""
    found = source(s3_server, folder)
    assert ["n", "late", "day"] == found.schema.names
    rows = [row for chunk in found.read(["day", "n", "late"]) for row in chunk.to_pylist()]
    assert [("2011-01-01", 1, None), ("2011-01-01", 2, None), ("2011-01-02", 3, "x")] == [
        (row["day"].isoformat(), row["n"], row["late"]) for row in rows
    ]
    assert [2, 1] == [part.rows for part in found.parts]
    assert s3_server.options == found.parts[0].task["storage"]
    assert "secret" not in repr(found.parts[0])


@pytest.mark.parametrize(("glob", "rows"), [("day=*/a*.parquet", 3), ("**/a.parquet", 2), ("day=2011-01-02", 1)])
def test_globs_match_keys(s3_server: S3Server, folder: str, glob: str, rows: int) -> None:
    """As they match paths."""
    assert rows == source(s3_server, f"{folder}/{glob}").rows


def test_new_files_are_what_was_added(s3_server: S3Server, folder: str) -> None:
    """The time at which the store got a file is enough to tell."""
    before = source(s3_server, folder)
    assert before.pin == source(s3_server, folder).pin
    put(s3_server, f"{folder}/day=2011-01-03/z.parquet", {"n": [4]})
    after = source(s3_server, folder)
    [added] = after.added_since(before.pin) or ()
    assert [4] == [n for chunk in read_part(added.task, ["n"]) for n in chunk["n"].to_pylist()]
    assert 3 == source(s3_server, folder, pin=before.pin).rows


def test_what_is_not_there_or_not_parquet_is_told(s3_server: S3Server, bucket: str, folder: str) -> None:
    """A missing key, a glob without a match, a file of another kind, keys that are refused."""
    with pytest.raises(NotFound, match=r"source\.missing.*did you mean events\?"):
        source(s3_server, f"s3://{bucket}/lake/evnts")
    with pytest.raises(NotFound, match=r"source\.no_match"):
        source(s3_server, f"{folder}/*.csv")
    with S3Files(s3_server.options).open_output(f"{folder}/x.parquet") as out:
        out.write(b"a,b\n1,2\n" * 9)
    with pytest.raises(RequestError, match=r"source\.not_parquet.*x\.parquet"):
        _ = source(s3_server, folder).schema
    with pytest.raises(SetupError, match=r"storage\.options"):
        ParquetEventSource(folder, lambda location: {"s3.profile-name": "nobody-has-this"})
