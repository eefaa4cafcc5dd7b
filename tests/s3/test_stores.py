"""One contract for every file store, and what only an object store does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.files.s3 import S3Files
from nbplat.adapters.files.s3_upload import MIN_PART_BYTES
from nbplat.adapters.files.stores import FileStores
from nbplat.errors import RemoteError, SetupError
from nbplat.terms import Files, Span
from tests.fixtures.s3_server import SECRET_KEY, S3Server

pytestmark = pytest.mark.s3

MEBI = 1 << 20
Store = tuple[Files, str]


@pytest.fixture(params=["disk", "s3", "disk among stores", "s3 among stores"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store and the location of an empty folder on it."""
    if "disk" in request.param:
        files: Files = LocalFiles() if request.param == "disk" else FileStores(lambda _: {})
        return files, f"file://{tmp_path}/folder"
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = request.getfixturevalue("bucket")
    files = S3Files(server.options) if request.param == "s3" else FileStores(lambda _: server.options)
    return files, f"s3://{bucket}/a folder"


def put(files: Files, location: str, data: bytes) -> None:
    with files.open_output(location) as out:
        out.write(data)


def get(files: Files, location: str) -> bytes:
    with files.open_input(location) as file:
        return file.read()


def pattern(length: int) -> bytes:
    return bytes(range(256)) * (length // 256) + bytes(length % 256)


@pytest.mark.parametrize("length", [0, 1, 70_000, 3 * MEBI])
def test_what_is_written_is_read(store: Store, length: int) -> None:
    """Whole, in pieces from any place, with its size."""
    files, folder = store
    data = pattern(length)
    put(files, f"{folder}/one.parquet", data)
    assert data == get(files, f"{folder}/one.parquet")
    assert length == files.size(f"{folder}/one.parquet")
    with files.open_input(f"{folder}/one.parquet") as file:
        assert length == file.seek(0, io.SEEK_END)
        for start, count in ((0, 4), (length // 2, 100_000), (max(length - 8, 0), 8), (length + 5, 3)):
            file.seek(start)
            assert data[start : start + count] == file.read(count)


def test_a_file_appears_whole_or_not_at_all(store: Store) -> None:
    """A writer that fails half-way leaves what was there, and nothing else."""
    files, folder = store
    put(files, f"{folder}/one", b"before")

    def half_way() -> None:
        with files.open_output(f"{folder}/one") as out:
            out.write(bytes(20 * MEBI))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_way()
    assert b"before" == get(files, f"{folder}/one")
    assert [f"{folder}/one"] == [file.location for file in files.list(folder)]
    put(files, f"{folder}/one", b"after")
    assert b"after" == get(files, f"{folder}/one")


def test_files_are_listed_and_deleted(store: Store) -> None:
    """A listing goes into folders and not into names that begin alike; a file that is gone is no error."""
    files, folder = store
    assert [] == list(files.list(folder))
    for name in ("a", "deep/er/b", "c d"):
        put(files, f"{folder}/{name}", name.encode())
    put(files, f"{folder}2/other", b"")
    found = {file.location: file for file in files.list(folder)}
    assert {f"{folder}/a": 1, f"{folder}/deep/er/b": 9, f"{folder}/c d": 3} == {
        name: file.file_bytes for name, file in found.items()
    }
    assert all(file.modified_ms > 1_600_000_000_000 for file in found.values())
    for _ in range(2):
        files.delete(f"{folder}/a")
    assert {f"{folder}/deep/er/b", f"{folder}/c d"} == {file.location for file in files.list(folder)}


def test_a_file_that_is_not_there(store: Store) -> None:
    """Reading, sizing and composing from it are FileNotFoundError; nothing is written."""
    files, folder = store
    calls: list[Callable[[], Any]] = [
        lambda: files.open_input(f"{folder}/none"),
        lambda: files.size(f"{folder}/none"),
        lambda: files.compose(f"{folder}/out", f"{folder}/none", 10, []),
        lambda: files.compose(f"{folder}/out", f"{folder}/none", 6 * MEBI, []),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError):
            call()
    assert [] == list(files.list(folder))


@pytest.mark.parametrize(
    ("length", "added"), [(0, 0), (10, 7), (5 * MEBI - 1, 7), (5 * MEBI, 0), (6 * MEBI, 7), (6 * MEBI, 18 * MEBI)]
)
def test_a_file_is_composed(store: Store, length: int, added: int) -> None:
    """The beginning of one file, bytes, and spans of another, in this order."""
    files, folder = store
    base, other = pattern(length + 100), pattern(added + 50)[::-1]
    put(files, f"{folder}/base", base)
    put(files, f"{folder}/other", other)
    with files.open_input(f"{folder}/other") as file:
        tail = [b"first", Span(file, 20, added), b"last", Span(file, 0, 3)]
        size = files.compose(f"{folder}/out", f"{folder}/base", length, tail)
    made = base[:length] + b"first" + other[20 : 20 + added] + b"last" + other[:3]
    assert (len(made), made) == (size, get(files, f"{folder}/out"))


def test_a_base_that_is_too_short(store: Store) -> None:
    """Is damage, and leaves nothing."""
    files, folder = store
    put(files, f"{folder}/base", b"short")
    with pytest.raises(EOFError):
        files.compose(f"{folder}/out", f"{folder}/base", 10, [b"tail"])
    assert [f"{folder}/base"] == [file.location for file in files.list(folder)]


def test_what_never_ended_is_swept(store: Store) -> None:
    """What a killed writer left goes, whole files stay, and so does what was begun later."""
    files, folder = store
    put(files, f"{folder}/whole", b"1")
    writer = files.open_output(f"{folder}/half")
    out = writer.__enter__()
    out.write(bytes(17 * MEBI))
    out.flush()
    assert 0 == files.sweep(folder, 0)
    assert 0 == files.sweep(folder, 1 << 60, named="other")
    assert 1 == files.sweep(folder, 1 << 60, named="half")
    assert 0 == files.sweep(folder, 1 << 60)
    assert [f"{folder}/whole"] == [file.location for file in files.list(folder)]
    assert not writer.__exit__(ZeroDivisionError, ZeroDivisionError(), None)


def test_stores_are_mixed(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    """A base on a disk goes to a bucket and back, as a stream."""
    files = FileStores(lambda _: s3_server.options)
    base, away, home = f"{tmp_path}/base", f"s3a://{bucket}/away", f"file://{tmp_path}/home"
    put(files, base, pattern(6 * MEBI))
    assert 6 * MEBI + 4 == files.compose(away, base, 6 * MEBI, [b"tail"])
    with files.open_input(away) as file:
        files.compose(home, away, 10, [Span(file, 6 * MEBI, 4), b"!"])
    assert pattern(6 * MEBI)[:10] + b"tail!" == get(files, home)
    assert (None, True) == (files.free_bytes(away), (files.free_bytes(home) or 0) > 0)


def test_large_bases_are_copied_inside_the_store(s3_server: S3Server, bucket: str) -> None:
    """Not a byte of them passes here: part copies, and one part with the tail."""
    files, base = S3Files(s3_server.options), f"s3://{bucket}/base"
    put(files, base, pattern(MIN_PART_BYTES + 300))
    since = len(s3_server.requests)
    files.compose(f"s3://{bucket}/out", base, MIN_PART_BYTES, [b"tail"])
    assert ["POST", "COPY part", "PUT part", "POST"] == s3_server.seen(since)


def test_only_what_a_store_copies_is_taken_on_trust(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    """Bytes that pass here, or lie on this machine, can be compared in full."""
    files = FileStores(lambda _: s3_server.options)
    there, here = f"s3://{bucket}/x", f"{tmp_path}/x"
    assert files.copies_unseen(there, there, MIN_PART_BYTES)
    assert not files.copies_unseen(there, there, MIN_PART_BYTES - 1)
    assert not files.copies_unseen(there, here, MIN_PART_BYTES)
    assert not files.copies_unseen(here, here, MIN_PART_BYTES)


def test_small_bases_are_streamed(s3_server: S3Server, bucket: str) -> None:
    """Below the least size of a part there is one read and one write."""
    files, base = S3Files(s3_server.options), f"s3://{bucket}/base"
    put(files, base, pattern(60_000))
    since = len(s3_server.requests)
    files.compose(f"s3://{bucket}/out", base, 50_000, [b"tail"])
    assert ["GET", "PUT"] == s3_server.seen(since)


def test_a_failed_copy_leaves_no_upload(s3_server: S3Server, bucket: str) -> None:
    """Parts that were copied are given up, or they would be paid for unseen."""
    files, base = S3Files(s3_server.options), f"s3://{bucket}/base"
    put(files, base, pattern(MIN_PART_BYTES + 300))
    since = len(s3_server.requests)

    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.compose(f"s3://{bucket}/out", base, MIN_PART_BYTES, [b"first", Span(Broken(), 0, 5)])
    assert ["COPY part", "DELETE"] == [word for word in s3_server.seen(since) if word not in ("GET", "POST")]
    assert [] == s3_server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [base] == [file.location for file in files.list(f"s3://{bucket}")]


def test_a_footer_costs_one_request(s3_server: S3Server, bucket: str) -> None:
    """Opening reads the end of the file, where footers lie."""
    files, base = S3Files(s3_server.options), f"s3://{bucket}/base"
    put(files, base, pattern(MEBI))
    since = len(s3_server.requests)
    with files.open_input(base) as file:
        file.seek(-8, io.SEEK_END)
        file.read(8)
        file.seek(-40_000, io.SEEK_END)
        file.read(39_992)
    assert ["GET"] == s3_server.seen(since)


def test_refused_credentials_are_named_and_not_shown(s3_server: S3Server, bucket: str) -> None:
    """The error says what the store said and where credentials come from; the secret is not in it."""
    from botocore.exceptions import ClientError, NoCredentialsError

    from nbplat.adapters.files.s3_client import speaking_of

    for code, kind in (("AccessDenied", SetupError), ("ExpiredToken", SetupError), ("SlowDown", RemoteError)):
        with pytest.raises(kind) as caught, speaking_of("s3://b/k"):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")
        assert code in caught.value.message
        assert "s3://b/k" == caught.value.where
        assert SECRET_KEY not in str(caught.value)
    with pytest.raises(SetupError), speaking_of("s3://b/k"):
        raise NoCredentialsError


def test_a_store_that_is_down(bucket: str, s3_server: S3Server) -> None:
    """Is named as what cannot be reached."""
    options = {**s3_server.options, "s3.endpoint": "http://127.0.0.1:9", "s3.connect-timeout": "0.2"}
    files = S3Files(options)
    files._client.meta.config.retries["total_max_attempts"] = 1
    with pytest.raises(RemoteError) as caught:
        files.size(f"s3://{bucket}/x")
    assert "storage.failed" == caught.value.code


@pytest.mark.parametrize("location", ["hdfs://name/a", "gs://b/a", "abfs://b/a"])
def test_other_stores_are_refused(location: str) -> None:
    """A scheme that cannot be opened is named."""
    with pytest.raises(SetupError) as caught:
        FileStores(lambda _: {}).size(location)
    assert ("store.unsupported", True) == (caught.value.code, location.split(":")[0] in caught.value.message)


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base install says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(SetupError) as caught:
        FileStores(lambda _: {}).size("s3://b/k")
    assert ("storage.s3_missing", "pip install 'nbplat[s3]'") == (caught.value.code, caught.value.fix)


@pytest.mark.parametrize(
    "options", [{"s3.signer": "S3V4RestSigner"}, {"s3.profile-name": "no-such-profile"}], ids=["signer", "profile"]
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, str]) -> None:
    """Before any request."""
    with pytest.raises(SetupError):
        S3Files(options)


def test_a_profile_gives_the_credentials(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reference: the options name the profile, the file on this machine has the secret."""
    (tmp_path / "credentials").write_text(
        "[lake]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = from-the-profile\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    since = len(s3_server.requests)
    files = S3Files({"s3.endpoint": s3_server.endpoint, "s3.region": "us-east-1", "s3.profile-name": "lake"})
    put(files, f"s3://{bucket}/x", b"1")
    assert all("Credential=AKIAPROFILE/" in headers["authorization"] for _, _, headers in s3_server.requests[since:])


def test_a_role_is_assumed(s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the given credentials, and its own are used from then on."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.endpoint)
    options = {**s3_server.options, "s3.role-arn": "arn:aws:iam::123456789012:role/lake"}
    since = len(s3_server.requests)
    put(S3Files(options), f"s3://{bucket}/x", b"1")
    used = [headers["authorization"] for _, _, headers in s3_server.requests[since:]]
    assert [True, False] == [s3_server.options["s3.access-key-id"] in text for text in used]


def test_encryption_of_the_options_is_asked_for(s3_server: S3Server, bucket: str) -> None:
    """Small and large objects alike carry the server-side encryption that the table wants."""
    files = S3Files({**s3_server.options, "s3.server-side-encryption": "AES256"})
    for name, length in (("small", 10), ("large", 17 * MEBI)):
        put(files, f"s3://{bucket}/{name}", bytes(length))
        head = s3_server.client().head_object(Bucket=bucket, Key=name)
        assert "AES256" == head["ServerSideEncryption"]
