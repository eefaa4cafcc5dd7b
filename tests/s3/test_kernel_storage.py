"""The staging kernel's own way to an object store: the same options, in a process that has no nbplat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.adapters.files.s3 import S3Files
from nbplat.remote.failure import KernelError, failed, record_of
from nbplat.remote.read import read_live
from nbplat.remote.storage import filesystem
from nbplat.remote.write import write_staged
from tests.fixtures.s3_server import S3Server

pytestmark = pytest.mark.s3


def test_a_base_file_is_read_and_its_staged_file_written(s3_server: S3Server, bucket: str) -> None:
    """Both on the store; what the kernel writes is what the file store reads."""
    files, base = S3Files(s3_server.options), f"s3://{bucket}/a b/base.parquet"
    column = pa.field("id", pa.int64(), metadata={b"PARQUET:field_id": b"1"})
    with files.open_output(base) as out:
        pq.write_table(pa.table([[1, 2, 3]], schema=pa.schema([column])), out)
    deleted = np.array([1], dtype="<i8").tobytes()
    task = {"unit": "u", "fence": 1, "path": base, "rows": 3, "constants": {}, "deleted": deleted}
    rows = read_live(task, pa.schema([column]), {}, s3_server.options)  # type: ignore[arg-type]
    assert [1, 3] == rows.table["id"].to_pylist()
    record = write_staged(
        rows.table,
        base_path=base,
        out=f"s3://{bucket}/staged",
        unit="u",
        fence=7,
        positions=rows.positions,
        groups=rows.groups,
        digest="d",
        storage=s3_server.options,
    )
    assert f"s3://{bucket}/staged/u-7.parquet" == record["path"]
    assert files.size(record["path"]) == record["file_bytes"]
    with files.open_input(record["path"]) as file:
        assert [0, 2] == pq.read_table(file)["nb_pos"].to_pylist()


def test_a_missing_base_file_is_named(s3_server: S3Server, bucket: str) -> None:
    """As it is on a disk."""
    task = {"unit": "u", "fence": 1, "path": f"s3://{bucket}/no", "rows": 3, "constants": {}, "deleted": b""}
    with pytest.raises(KernelError) as caught:
        read_live(task, pa.schema([]), {}, s3_server.options)  # type: ignore[arg-type]
    assert "file.gone" == caught.value.code


def test_a_profile_gives_the_kernel_its_keys(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reference, resolved in the process that reads; one that does not exist is named."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[kernel]\naws_access_key_id = AKIAKERNEL\naws_secret_access_key = from-the-profile\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    options = {"s3.endpoint": s3_server.endpoint, "s3.region": "us-east-1", "s3.profile-name": "kernel"}
    system, path = filesystem(f"s3://{bucket}/x", options)
    since = len(s3_server.requests)
    system.get_file_info(path)
    assert all("Credential=AKIAKERNEL/" in headers["authorization"] for _, _, headers in s3_server.requests[since:])
    with pytest.raises(KernelError) as caught:
        filesystem(f"s3://{bucket}/x", {**options, "s3.profile-name": "no-such-profile"})
    assert "storage.options" == caught.value.code
    with pytest.raises(KernelError) as caught:
        filesystem(f"s3://{bucket}/x", {"s3.signer": "S3V4RestSigner"})
    assert "storage.signer" == caught.value.code
    with pytest.raises(KernelError) as caught:
        filesystem("hdfs://name/x", {})
    assert "storage.scheme" == caught.value.code


def test_a_store_that_is_down_is_no_bug(s3_server: S3Server) -> None:
    """The unit's error names the store's answer and what to look at."""
    options = {**s3_server.options, "s3.endpoint": "http://127.0.0.1:9", "s3.connect-timeout": "0.2"}
    task = {"unit": "u", "fence": 1, "path": "s3://b/k", "rows": 3, "constants": {}, "deleted": b""}
    with pytest.raises(OSError, match="AWS Error") as caught:
        read_live(task, pa.schema([]), {}, options)  # type: ignore[arg-type]
    record = failed(task, caught.value)["error"]
    assert ("RemoteError", "storage.failed", "s3://b/k") == (record["kind"], record["code"], record["where"])


def test_refused_credentials_are_the_machines_fault() -> None:
    """Not the data's, and not ours."""
    text = "When reading information for key 'k' in bucket 'b': AWS Error ACCESS_DENIED during HeadObject operation: No"
    assert ("SetupError", "storage.denied") == tuple(record_of(OSError(text))[name] for name in ("kind", "code"))
    assert "internal.bug" == record_of(OSError("something else"), quiet=True)["code"]
