"""Archives pulled into a store: verified, unpacked nowhere else, in their place at once, found by name."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.clock import SystemClock
from nbplat.environment.find import find_environment
from nbplat.environment.ports import Phase
from nbplat.environment.pull import pull
from nbplat.environment.ship import push
from nbplat.environment.store import Store
from nbplat.errors import DataError, NbplatError, NotFound, RequestError
from nbplat.terms import EnvironmentRef
from tests.fixtures.environments import unsaid
from tests.fixtures.packed import PackedEnvironment, packed_seven

__all__ = ["packed_seven"]

_TELL = "import sys, nbplat_marker; print(sys.prefix, nbplat_marker.__version__)"


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A folder that archives are shipped to."""
    return (tmp_path / "place").as_uri()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Another machine's store."""
    return Store(tmp_path / "other" / "env")


def pulled(uri: str, store: Store, **more: str) -> EnvironmentRef:
    return pull(uri, store, FsspecDepot(), SystemClock(), say=unsaid, **more)


def output(*command: str | Path) -> str:
    bare = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=bare).stdout


@pytest.mark.parametrize("format", ["tar.gz", "zip", "tar.zst"])
def test_a_pulled_environment_runs_in_its_place_and_is_found_by_name(
    packed_seven: PackedEnvironment, place: str, store: Store, format: str
) -> None:
    """Whatever the format, the environment runs with its own path in its programs, and its name means it."""
    made = packed_seven.packed_as(format)
    shipped = push(made, place, FsspecDepot(), say=unsaid)

    ref = pulled(shipped.uri, store)

    prefix = Path(ref.prefix)
    assert store.envs == prefix.parent
    assert f"{prefix} 7.7.7\n" == output(ref.interpreter, "-c", _TELL)
    assert f"hello from {prefix}\n" == output(prefix / "bin" / "greet")
    assert f"root={prefix}\n" == output(prefix / "bin" / "prefixdemo").partition("\n")[2]
    assert ("marker-7", made.sha256, packed_seven.ref.lock_digest) == (ref.name, ref.key, ref.lock_digest)
    assert packed_seven.ref.python == ref.python
    assert ref == find_environment(store, "marker-7")
    assert made.manifest_file.read_text() == (store.packs / f"{made.archive.name}.json").read_text()


def test_what_was_pulled_is_not_fetched_again(packed_seven: PackedEnvironment, place: str, store: Store) -> None:
    """A second pull takes what is there, though the place is gone, and may give it another name."""
    shipped = push(packed_seven.pack, place, FsspecDepot(), say=unsaid)
    first = pulled(shipped.uri, store)
    archive = Path(store.packs / packed_seven.pack.archive.name)
    archive.unlink()
    Path(place.removeprefix("file://")).rename(store.root.parent / "away")

    again = pulled(shipped.uri, store, name="mine")

    assert (first.prefix, "mine") == (again.prefix, again.name)
    assert again == find_environment(store, "mine")


_KILL = """
import os, signal, sys
from pathlib import Path
from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.clock import SystemClock
from nbplat.environment.pull import pull
from nbplat.environment.store import Store
uri, root, name, done = sys.argv[1:]
def say(phase):
    if phase.name == name and phase.done >= int(done):
        os.kill(os.getpid(), signal.SIGKILL)
pull(uri, Store(Path(root)), FsspecDepot(), SystemClock(), say=say)
"""


@pytest.mark.process
@pytest.mark.parametrize(("phase", "done"), [("pull", 1 << 21), ("check", 1 << 21), ("unpack", 1 << 21), ("check", 0)])
def test_a_pull_that_was_killed_is_done_again(
    packed_seven: PackedEnvironment, place: str, store: Store, phase: str, done: int
) -> None:
    """After a kill -9 while it fetches, hashes, unpacks or starts, nothing is shown; the same pull then succeeds."""
    shipped = push(packed_seven.pack, place, FsspecDepot(), say=unsaid)
    command = [sys.executable, "-c", _KILL, shipped.uri, str(store.root), phase, str(done)]

    killed = subprocess.run(command, timeout=100, check=False, capture_output=True)

    assert -9 == killed.returncode, killed.stderr
    assert [] == store.every()
    ref = pulled(shipped.uri, store)
    assert f"{ref.prefix} 7.7.7\n" == output(ref.interpreter, "-c", _TELL)
    store.sweep()
    assert [Path(ref.prefix).name] == [one.name for one in store.envs.iterdir()]
    name = packed_seven.pack.archive.name
    assert [name, f"{name}.json"] == sorted(one.name for one in store.packs.iterdir())
    assert [] == list(store.tmp.iterdir())


def _member(name: str, **more: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    "member",
    [
        _member("../evil"),
        _member("lib/../../evil"),
        _member("/evil"),
        _member("bin/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        _member("bin/pipe", type=tarfile.FIFOTYPE),
        _member("lib/out", type=tarfile.SYMTYPE, linkname="../../out"),
        _member("lib/passwd", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        _member("lib/hard", type=tarfile.LNKTYPE, linkname="../../../evil"),
    ],
    ids=lambda one: one.name.replace("/", "_"),
)
def test_an_archive_that_would_leave_its_folder_is_refused(place: str, store: Store, member: tarfile.TarInfo) -> None:
    """Paths that climb or are absolute, devices and links that lead out are refused, and nothing of it stays."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(_member("bin/python", size=2), io.BytesIO(b"hi"))
        archive.addfile(member)
    uri = _put(place, out.getvalue())

    with pytest.raises(DataError) as caught:
        pulled(uri, store)

    assert "env.unsafe" == caught.value.code
    assert (member.linkname or member.name) in str(caught.value) or member.name in str(caught.value)
    assert [] == [path for path in store.envs.rglob("*") if path.is_file()]
    assert [] == list(store.root.parent.rglob("evil"))


def _put(place: str, data: bytes, manifest: object = None) -> str:
    uri = f"{place}/{hashlib.sha256(data).hexdigest()}.tar.gz"
    FsspecDepot().write(uri, data)
    if manifest is not None:
        FsspecDepot().write(f"{uri}.json", json.dumps(manifest).encode())
    return uri


def test_a_tampered_archive_is_refused_before_it_is_unpacked(
    packed_seven: PackedEnvironment, place: str, store: Store
) -> None:
    """Another archive under the name of the right one is never unpacked, whatever its manifest says."""
    shipped = push(packed_seven.pack, place, FsspecDepot(), say=unsaid)
    FsspecDepot().write(shipped.uri, packed_seven.packed_as("zip").archive.read_bytes())

    with pytest.raises(DataError) as caught:
        pulled(shipped.uri, store)

    assert "env.hash" == caught.value.code
    assert not store.envs.exists()
    assert [] == list(store.packs.iterdir())


def _plain_archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(_member("bin/python", size=2), io.BytesIO(b"hi"))
    return out.getvalue()


def test_an_archive_for_other_machines_is_refused_before_it_is_unpacked(place: str, store: Store) -> None:
    """What is packed for another platform is named with both platforms."""
    uri = _put(place, _plain_archive(), {"platform": "linux-ppc64le"})

    with pytest.raises(RequestError) as caught:
        pulled(uri, store)

    assert "env.platform" == caught.value.code
    assert "linux-ppc64le" in caught.value.message
    assert not store.envs.exists()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda place: _put(place, _plain_archive()), "env.manifest"),
        (lambda place: _put(place, b"no archive at all"), "env.archive"),
        (lambda place: _put(place, _plain_archive(), ["no object"]), "env.manifest"),
        (lambda place: f"{place}/{'0' * 64}.tar.gz", "env.shipped"),
        (lambda place: place, "env.location"),
    ],
    ids=["not ours", "no archive", "no manifest", "nothing", "a folder"],
)
def test_what_is_no_pack_is_refused_and_nothing_stays(
    place: str, store: Store, make: Callable[[str], str], code: str
) -> None:
    """An archive of another program, rubbish, a broken manifest, a missing file and a folder are told apart."""
    with pytest.raises(NbplatError) as caught:
        pulled(make(place), store)

    assert code == caught.value.code
    assert [] == store.every()
    assert [] == [path for path in store.envs.rglob("*") if path.is_file()]


def test_a_name_that_was_never_pulled_is_not_found(store: Store) -> None:
    """The store knows only what was pulled or built."""
    with pytest.raises(NotFound):
        find_environment(store, "marker-7")


def test_progress_tells_bytes(packed_seven: PackedEnvironment, place: str, store: Store) -> None:
    """Fetching says its bytes and ends with all of them."""
    shipped = push(packed_seven.pack, place, FsspecDepot(), say=unsaid)
    phases: list[Phase] = []

    pull(shipped.uri, store, FsspecDepot(), SystemClock(), say=phases.append)

    assert (shipped.size, shipped.size) == next((one.done, one.total) for one in reversed(phases) if one.name == "pull")
