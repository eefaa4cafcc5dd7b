"""A feature's whole life on an S3 warehouse: staged, audited, promoted, rolled back, and no secret left anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from nbplat.adapters.files.s3 import S3Files
from nbplat.training.join import JoinSpec, Stage, plan_join
from tests.fixtures.lakehouse import ORDERS, Lake
from tests.fixtures.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.s3

SQL = "select id, x * 2D as doubled from base"


@pytest.fixture
def shop(s3_catalog: dict[str, str], tmp_path: Path) -> Iterator[Lake]:
    """The small shop on an S3 warehouse."""
    lake = Lake(tmp_path / "home", **s3_catalog)
    lake.make_shop()
    yield lake
    lake.close()


def locations(lake: Lake) -> set[str]:
    return {task.file.file_path for task in lake.table().scan().plan_files()}


def test_a_feature_lives_on_s3(shop: Lake, s3_server: S3Server, bucket: str) -> None:
    """Staged beside the tables, promoted by splices, and gone without a trace when it is rolled back."""
    before, files = shop.rows(), S3Files(s3_server.options)
    old = locations(shop)
    run_id = shop.stage("doubled", SQL)
    staged = shop.backfills.staged_columns(run_id).files
    [folder] = {file.path.rpartition("/")[0] for file in staged}
    assert folder.startswith(f"s3://{bucket}/warehouse/shop/_nbplat/staged/")
    assert folder.endswith("/doubled-1")
    assert all(files.size(file.path) == file.file_bytes for file in staged)
    plan = plan_join(JoinSpec(ORDERS, stage=(Stage(run_id),)), shop.platform.join_source, shop.backfills)
    with shop.platform.open_join(plan) as opened:
        tried = pa.Table.from_batches(opened.batches()).to_pandas()
    assert (tried["x"] * 2).equals(tried["doubled"].rename("x"))
    shop.promote(run_id)
    now = shop.rows()
    assert (before["x"] * 2).equals(now["doubled"].rename("x"))
    assert before.equals(now.drop(columns="doubled"))
    new = locations(shop)
    assert new.isdisjoint(old)
    assert all("--nb-doubled-1-" in path for path in new)
    other = shop.stage("tripled", "select id, x * 3D as tripled from base")
    shop.promote(other)
    shop.roll_back(run_id)
    assert [*before.columns, "tripled"] == list(shop.rows().columns)
    shop.roll_back(other)
    assert before.equals(shop.rows())
    swept = shop.platform.expirer.expire(older_than_ms=0, dry_run=False)
    assert {"doubled@1", "tripled@1"} == set(swept.runs)
    assert [] == list(files.list(f"s3://{bucket}/warehouse/shop/_nbplat"))
    assert before.equals(shop.rows())
    assert [] == s3_server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_deletes_between_stage_and_promotion(shop: Lake) -> None:
    """Files that lost rows meanwhile are rewritten on the store; the deleted rows stay deleted."""
    run_id = shop.stage("doubled", SQL)
    shop.table().delete("id = 7")
    shop.promote(run_id)
    rows = shop.rows()
    assert [n for n in range(60) if n != 7] == rows["id"].tolist()
    assert (rows["x"] * 2).equals(rows["doubled"].rename("x"))


def test_no_secret_is_written_down(
    shop: Lake, s3_server: S3Server, bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the ledger, its logs and events, the state folder, the catalog, an object, or what was printed."""
    run_id = shop.stage("doubled", SQL)
    shop.promote(run_id)
    shop.roll_back(run_id)
    client = s3_server.client()
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
    objects = [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    on_disk = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    store = shop.platform.store
    told = [repr(store.runs()), repr(store.jobs()), repr(store.events(limit=100_000))]
    told += [repr(store.log(job.id)) for job in store.jobs()] if hasattr(store, "log") else []
    captured = capfd.readouterr()
    everything = [*objects, *on_disk, *(text.encode() for text in (*told, captured.out, captured.err))]
    assert len(keys) > 10
    assert [] == [data[:60] for data in everything if SECRET_KEY.encode() in data or ACCESS_KEY.encode() in data]
    assert ORDERS in repr(store.runs())
