"""Archives pushed to places and fetched from them: sent once, verified there, never trusted unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.environment.locations import depot_uri
from nbplat.environment.ports import Phase
from nbplat.environment.ship import fetch, find_archive, push, shipped_at
from nbplat.errors import DataError, NbplatError, NotFound, RemoteError, RequestError, SetupError
from tests.fixtures.channels import small_channel
from tests.fixtures.environments import unsaid
from tests.fixtures.http_folder import serve_folder
from tests.fixtures.packed import PackedEnvironment, packed_seven
from tests.fixtures.s3_server import S3Server, bucket, s3_server

__all__ = ["bucket", "packed_seven", "s3_server", "serve_folder", "small_channel"]


@pytest.fixture
def memory() -> str:
    """A place in this process's memory."""
    fsspec.filesystem("memory").store.clear()
    return "memory://envs"


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, FsspecDepot]:
    """A place of each kind that can be written, and what reaches it."""
    if request.param == "memory":
        return request.getfixturevalue("memory"), FsspecDepot()
    if request.param == "file":
        return (tmp_path / "a shared folder").as_uri(), FsspecDepot()
    server: S3Server = request.getfixturevalue("s3_server")
    return f"s3://{request.getfixturevalue('bucket')}/team/envs", FsspecDepot(lambda location: server.options)


class _Torn(FsspecDepot):
    """A store on which uploads end early, or arrive with another byte."""

    def __init__(self, depot: FsspecDepot, *, fail: bool) -> None:
        super().__init__(depot._options)
        self._fail = fail

    def upload(self, source: Path, uri: str, say: Callable[[int], None]) -> None:
        if self._fail:

            def stop(done: int) -> None:
                raise ConnectionResetError("the line is down")

            super().upload(source, uri, stop)
        data = bytearray(source.read_bytes())
        data[100] ^= 1
        damaged = source.with_name("damaged")
        damaged.write_bytes(data)
        super().upload(damaged, uri, say)
        damaged.unlink()


def test_a_push_sends_once_and_a_fetch_brings_the_same_bytes(
    place: tuple[str, FsspecDepot], packed_seven: PackedEnvironment, tmp_path: Path
) -> None:
    """The archive lies under its hash with manifest and launcher; a second push sends nothing; fetch verifies."""
    uri, depot = place
    pack = packed_seven.pack
    phases: list[Phase] = []

    first = push(pack, uri, depot, say=phases.append)
    again = push(pack, uri, depot, say=unsaid)
    archive, manifest = fetch(first.uri, tmp_path / "here", depot, say=unsaid)

    assert f"{depot_uri(uri)}/{pack.sha256}.tar.gz" == first.uri
    assert pack.size < first.sent
    assert (0, first.launcher) == (again.sent, again.launcher)
    assert pack.archive.read_bytes() == archive.read_bytes()
    assert pack.manifest == manifest == json.loads(archive.with_name(f"{archive.name}.json").read_text())
    assert first.uri in _read(first.launcher, depot)
    assert (first.uri,) == find_archive(uri, packed_seven.ref.key, depot)
    assert () == find_archive(uri, "0" * 64, depot)
    assert (pack.size, "marker-7") == (shipped_at(first.uri, depot).size, shipped_at(first.uri, depot).name)
    assert {"check", "push", "verify"} == {phase.name for phase in phases}
    assert pack.size == max(phase.done for phase in phases if phase.name == "push")


def _read(uri: str, depot: FsspecDepot) -> str:
    with depot.open(uri) as file:
        return file.read().decode()


@pytest.mark.parametrize("how", ["cut short", "one byte", "no seal", "foreign seal"])
def test_what_was_not_verified_there_is_sent_again_or_read_back(
    place: tuple[str, FsspecDepot], packed_seven: PackedEnvironment, how: str
) -> None:
    """A torn or changed archive at the place is replaced; a whole one without a seal is only read back."""
    uri, depot = place
    pack = packed_seven.pack
    first = push(pack, uri, depot, say=unsaid)
    seal = f"{first.uri}.seal"
    if how == "cut short":
        depot.write(first.uri, pack.archive.read_bytes()[:-100])
    elif how == "one byte":
        depot.write(first.uri, b"x" + pack.archive.read_bytes()[1:])
    elif how == "no seal":
        depot.write(seal, b"{")
    else:
        depot.write(seal, json.dumps({"sha256": pack.sha256, "size": pack.size, "mark": "other"}).encode())

    again = push(pack, uri, depot, say=unsaid)

    with depot.open(first.uri) as file:
        assert pack.archive.read_bytes() == file.read()
    assert (pack.size if how in ("cut short", "one byte") else 0) == again.sent


@pytest.mark.parametrize("fail", [True, False])
def test_an_upload_that_fails_or_is_damaged_leaves_nothing_that_counts(
    place: tuple[str, FsspecDepot], packed_seven: PackedEnvironment, fail: bool
) -> None:
    """A line that breaks leaves no object, damaged bytes are found when read back, and the next push mends both."""
    uri, depot = place
    with pytest.raises(RemoteError) as caught:
        push(packed_seven.pack, uri, _Torn(depot, fail=fail), say=unsaid)
    left = set(depot.names(uri))

    shipped = push(packed_seven.pack, uri, depot, say=unsaid)

    name = packed_seven.pack.archive.name
    assert (
        ("storage.failed", set()) == (caught.value.code, left)
        if fail
        else ("env.upload", {name})
        == (
            caught.value.code,
            left,
        )
    )
    assert packed_seven.pack.size < shipped.sent
    assert packed_seven.pack.size == depot.size(shipped.uri)


@pytest.mark.s3
def test_a_large_archive_goes_to_s3_in_parts(
    packed_seven: PackedEnvironment, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """An archive above the size of a part is sent as a multipart upload, and nothing of it is left open."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(24 << 20))
    depot = FsspecDepot(lambda location: s3_server.options)
    since = len(s3_server.requests)

    depot.upload(big, f"s3://{bucket}/big", lambda done: None)

    assert s3_server.seen(since).count("PUT part") >= 2
    assert big.read_bytes() == depot.open(f"s3://{bucket}/big").read()
    assert [] == s3_server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_an_archive_changed_at_the_place_is_refused_on_fetch(
    place: tuple[str, FsspecDepot], packed_seven: PackedEnvironment, tmp_path: Path
) -> None:
    """Bytes that are not those of the name are refused with both hashes, and nothing is kept here."""
    uri, depot = place
    shipped = push(packed_seven.pack, uri, depot, say=unsaid)
    depot.write(shipped.uri, b"x" + packed_seven.pack.archive.read_bytes()[1:])

    with pytest.raises(DataError) as caught:
        fetch(shipped.uri, tmp_path / "here", depot, say=unsaid)

    assert "env.hash" == caught.value.code
    assert packed_seven.pack.sha256[:16] in caught.value.message
    assert [] == list((tmp_path / "here").iterdir())


def test_http_is_read_and_never_written(
    packed_seven: PackedEnvironment, serve_folder: Callable[[Path], str], tmp_path: Path
) -> None:
    """What a file server shows can be fetched by HTTP; a push there is refused before any effect."""
    folder = tmp_path / "shown"
    depot = FsspecDepot()
    push(packed_seven.pack, str(folder), depot, say=unsaid)
    address = serve_folder(folder)
    name = packed_seven.pack.archive.name

    archive, manifest = fetch(f"{address}/{name}", tmp_path / "here", depot, say=unsaid)
    with pytest.raises(RequestError) as refused:
        push(packed_seven.pack, address, depot, say=unsaid)
    with pytest.raises(NotFound) as missing:
        fetch(f"{address}/{'0' * 64}.tar.gz", tmp_path / "here", depot, say=unsaid)

    assert packed_seven.pack.archive.read_bytes() == archive.read_bytes()
    assert packed_seven.pack.manifest == manifest
    assert ("env.location", "env.shipped") == (refused.value.code, missing.value.code)
    assert () == find_archive(address, packed_seven.ref.key, depot)


def test_what_lies_here_already_is_not_fetched(packed_seven: PackedEnvironment, memory: str, tmp_path: Path) -> None:
    """A fetch of an archive that is here and right reads only the manifest; one damaged here is fetched anew."""
    depot = FsspecDepot()
    shipped = push(packed_seven.pack, memory, depot, say=unsaid)
    here, _ = fetch(shipped.uri, tmp_path, depot, say=unsaid)

    opened: list[str] = []

    class Watched(FsspecDepot):
        def open(self, uri: str) -> BinaryIO:
            opened.append(uri)
            return super().open(uri)

    watched = Watched()
    fetch(shipped.uri, tmp_path, watched, say=unsaid)
    assert [f"{shipped.uri}.json"] == opened
    here.write_bytes(here.read_bytes()[:-1])
    fetch(shipped.uri, tmp_path, watched, say=unsaid)
    assert packed_seven.pack.archive.read_bytes() == here.read_bytes()


def test_an_archive_changed_on_this_machine_is_not_pushed(
    packed_seven: PackedEnvironment, memory: str, tmp_path: Path
) -> None:
    """A pack whose file is not the one of its hash is refused before anything is sent."""
    changed = tmp_path / packed_seven.pack.archive.name
    changed.write_bytes(packed_seven.pack.archive.read_bytes() + b"x")

    with pytest.raises(DataError) as caught:
        push(replace(packed_seven.pack, archive=changed), memory, FsspecDepot(), say=unsaid)

    assert "env.hash" == caught.value.code
    assert () == FsspecDepot().names(memory)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://key:secret@bucket/envs", "credentials"),
        ("https://me:pass@host/envs", "credentials"),
        ("s3://", "names no place"),
        ("", "empty"),
        ("http://host/envs", "read only"),
        ("nowhere://x/y", "cannot be opened"),
    ],
)
def test_places_that_cannot_be_are_refused(packed_seven: PackedEnvironment, uri: str, words: str) -> None:
    """Credentials in a URI, no place, HTTP and unknown schemes are refused, and no secret is repeated."""
    with pytest.raises(RequestError) as caught:
        push(packed_seven.pack, uri, FsspecDepot(), say=unsaid)

    assert "env.location" == caught.value.code
    assert words in caught.value.message
    assert "secret" not in str(caught.value)
    assert "pass" not in str(caught.value).replace("password", "")


def test_a_scheme_whose_package_is_missing_names_it() -> None:
    """A store that fsspec knows but that is not installed names the package to install."""
    with pytest.raises(SetupError) as caught:
        FsspecDepot().size("gs://bucket/x")

    assert "gcsfs" in caught.value.fix


@pytest.mark.parametrize("name", ["", "x.tar.gz", f"{'0' * 63}.tar.gz", f"{'0' * 64}.rar"])
def test_a_fetch_needs_the_uri_of_an_archive(tmp_path: Path, name: str) -> None:
    """A folder, or a name that is no hash, is refused with the form that is needed."""
    with pytest.raises(RequestError) as caught:
        fetch(f"memory://envs/{name}", tmp_path, FsspecDepot(), say=unsaid)
    assert "64 hex digits" in caught.value.fix


@pytest.mark.s3
def test_refused_credentials_are_named(packed_seven: PackedEnvironment, s3_server: S3Server) -> None:
    """A bucket that is not there is the store's answer, in our words."""
    depot = FsspecDepot(lambda location: s3_server.options)
    with pytest.raises(NbplatError) as caught:
        push(packed_seven.pack, "s3://no-such-bucket-here/envs", depot, say=unsaid)
    assert caught.value.code in ("storage.failed", "env.shipped")


def test_a_folder_that_cannot_be_written_is_named(packed_seven: PackedEnvironment, tmp_path: Path) -> None:
    """A file where the folder should be is refused with its path, and left as it was."""
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(NbplatError) as caught:
        push(packed_seven.pack, str(tmp_path / "taken"), FsspecDepot(), say=unsaid)
    assert str(tmp_path / "taken") in caught.value.where
    assert "mine" == (tmp_path / "taken").read_text()
