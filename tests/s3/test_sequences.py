"""An index of sequences on an S3 warehouse: built out of core, read back, and nothing else left there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.files.s3 import S3Files
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.sequence.stored_index import StoredIndex
from tests.fixtures.lakehouse import Lake
from tests.fixtures.s3_server import SECRET_KEY, S3Server
from tests.fixtures.sequences import clicks, definition, digests, sequence_lake

pytestmark = pytest.mark.s3

ROWS = 3_000


@pytest.fixture
def lake(s3_catalog: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake on the warehouse whose builds spill."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 800)
    made = sequence_lake(tmp_path / "home", **s3_catalog)
    yield made
    made.close()


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[list[str]]:
    """Digests of the same events, sorted at once on this machine's disk."""
    own = Lake(tmp_path / "other", **{"limits.memory_bytes": 2 << 30})
    sequences = own.platform.sequences_of({"rows": clicks(ROWS)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "_BUCKET_ROWS", 800)
        yield digests(sequences.open(sequences.bind(definition("rows"))))
    own.close()


def build(lake: Lake, source: str, engine: str) -> StoredIndex:
    sequences = lake.platform.sequences
    declared = definition(source)
    _, job = Builds(sequences).queue(declared, owner="me", engine=engine)
    assert job is not None
    lake.work()
    found = sequences.find_index(sequences.bind(declared))
    assert found is not None
    return found


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_an_index_is_built_on_a_bucket_from_a_table_on_it(
    lake: Lake, in_memory: list[str], s3_server: S3Server, bucket: str, engine: str, request: pytest.FixtureRequest
) -> None:
    """Source, spill files of other machines and index lie on the store; only the index's own files stay."""
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    rows = clicks(ROWS)
    table = lake.make("shop.clicks", rows.slice(0, 0), partitioned=False)
    for start in range(0, ROWS, 1_000):
        table.append(rows.slice(start, 1_000))
    index = build(lake, "shop.clicks", engine)
    assert in_memory == digests(index)
    left = {file.location for file in S3Files(s3_server.options).list(f"s3://{bucket}/warehouse/nb_sequences")}
    files = {file.path for file in lake.platform.sequences.tables.files(index.pin)}
    assert files == {location for location in left if location.endswith(".parquet")}
    assert not [location for location in left if "spill" in location]


def test_an_index_is_built_from_files_on_a_bucket(
    lake: Lake, in_memory: list[str], s3_server: S3Server, bucket: str
) -> None:
    """A prefix of Parquet files is a source, by the catalog's credentials; they are written down nowhere."""
    rows = clicks(ROWS)
    files = S3Files(s3_server.options)
    for number in range(3):
        with files.open_output(f"s3://{bucket}/drop/day={number}/clicks.parquet") as out:
            pq.write_table(rows.slice(1_000 * number, 1_000), out, row_group_size=250)
    index = build(lake, f"s3://{bucket}/drop", "local")
    assert in_memory == digests(index)
    said = "".join(path.read_text(errors="replace") for path in lake.home.rglob("*") if path.is_file())
    assert SECRET_KEY not in said


def test_rows_of_a_bucket_are_read_back_with_their_columns(lake: Lake, s3_server: S3Server) -> None:
    """One bucket of the index is read without the others."""
    rows = clicks(ROWS)
    lake.make("shop.clicks", rows, partitioned=False)
    index = build(lake, "shop.clicks", "local")
    since = len(s3_server.requests)
    events = index.events(0, ["item"])
    assert ["item"] == events.rows.column_names
    assert isinstance(events.rows, pa.Table)
    read = {path.partition("?")[0] for method, path, _ in s3_server.requests[since:] if method == "GET"}
    assert 1 == len({path for path in read if path.endswith(".parquet") and "/data/" in path})
